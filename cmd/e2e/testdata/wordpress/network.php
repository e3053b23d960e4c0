<?php
// Makes the site the first one of a network, as wp-admin/network.php does.
define('WP_INSTALLING', true);
require __DIR__ . '/load.php';
require ABSPATH . 'wp-settings.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/network.php';
foreach ($wpdb->tables('ms_global') as $table => $name) {
    $wpdb->$table = $name;
}
install_network();
$made = populate_network(1, 'blog.example', 'admin@customer.example', 'A network', '/', true);
echo json_encode(['ok' => $made === true || is_wp_error($made) && $made->get_error_code() === 'no_wildcard_dns', 'failure' => is_wp_error($made) ? $made->get_error_message() : '']), "\n";
