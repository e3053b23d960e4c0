<?php
// Loads WordPress as it lies in Debian's package, with the settings of the
// test's environment in the place of a wp-config.php.
error_reporting(E_ALL & ~E_DEPRECATED);
ini_set('display_errors', 'stderr');
ini_set('memory_limit', '256M');
$_SERVER['HTTP_HOST'] = $_SERVER['SERVER_NAME'] = 'blog.example';
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['REQUEST_METHOD'] = 'GET';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REMOTE_ADDR'] = '127.0.0.1';
define('ABSPATH', getenv('WP_CORE') ?: '/usr/share/wordpress/');
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:' . getenv('WP_DB_SOCKET'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
define('WP_CONTENT_DIR', getenv('WP_CONTENT'));
define('WPMU_PLUGIN_DIR', getenv('WP_MU_PLUGINS') ?: __DIR__ . '/mu-plugins');
if (getenv('WP_NETWORK')) {
    define('MULTISITE', true);
    define('SUBDOMAIN_INSTALL', true);
    define('DOMAIN_CURRENT_SITE', 'blog.example');
    define('PATH_CURRENT_SITE', '/');
    define('SITE_ID_CURRENT_SITE', 1);
    define('BLOG_ID_CURRENT_SITE', 1);
} else {
    define('WP_HOME', getenv('WP_URL') ?: 'http://blog.example');
    define('WP_SITEURL', WP_HOME);
}
if (getenv('WP_DEFINE')) { // constants of plugins, or of a site owner
    foreach (explode(' ', getenv('WP_DEFINE')) as $pair) {
        list($name, $value) = explode('=', $pair, 2);
        define($name, $value);
    }
}
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_ACCESSIBLE_HOSTS', getenv('WP_ACCESSIBLE') ?: '127.0.0.1');
define('DISABLE_WP_CRON', true);
define('WP_DEFAULT_THEME', 'none');
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) {
    define($name . '_KEY', $name . '-key');
    define($name . '_SALT', $name . '-salt');
}
$table_prefix = 'wp_';
