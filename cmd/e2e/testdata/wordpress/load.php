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
define('ABSPATH', '/usr/share/wordpress/');
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:' . getenv('WP_DB_SOCKET'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
define('WP_CONTENT_DIR', getenv('WP_CONTENT'));
define('WPMU_PLUGIN_DIR', __DIR__ . '/mu-plugins');
define('WP_HOME', 'http://blog.example');
define('WP_SITEURL', 'http://blog.example');
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
define('WP_DEFAULT_THEME', 'none');
foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $name) {
    define($name . '_KEY', $name . '-key');
    define($name . '_SALT', $name . '-salt');
}
$table_prefix = 'wp_';
