<?php
// Sends WP_COUNT messages of 20 KB by wp_mail() and prints how long each took.
require __DIR__ . '/load.php';
require ABSPATH . 'wp-settings.php';

$body = '';
for ($line = 0; strlen($body) < 20 * 1024; $line++) {
    $body .= sprintf("Line %04d of an order confirmation with the usual sixty octets.\n", $line);
}
for ($i = 0; $i < (int) getenv('WP_COUNT'); $i++) {
    $begin = hrtime(true);
    $ok = wp_mail(getenv('WP_TO'), "Order $i", $body);
    echo json_encode(['ok' => $ok, 'took' => hrtime(true) - $begin]), "\n";
}
