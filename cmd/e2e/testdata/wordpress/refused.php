<?php
// Sends one message and prints what a plugin that listens to wp_mail_failed sees.
require __DIR__ . '/load.php';
require ABSPATH . 'wp-settings.php';
$failure = '';
add_action('wp_mail_failed', function ($error) use (&$failure) { $failure = $error->get_error_message(); });
$ok = wp_mail(getenv('WP_TO'), 'Refused', 'This is not taken.');
echo json_encode(['ok' => $ok, 'failure' => $failure]), "\n";
