<?php
// Installs WordPress as its web installer does.
define('WP_INSTALLING', true);
require __DIR__ . '/load.php';
require ABSPATH . 'wp-settings.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
$done = wp_install('A blog', 'admin', 'admin@customer.example', false, '', wp_slash('s3cret'));
echo json_encode(['user' => $done['user_id'], 'version' => get_bloginfo('version')]), "\n";
