<?php
// Sends one message of each kind by wp_mail() and prints, a line for each, what
// PHPMailer built and what came of it.
require __DIR__ . '/load.php';
require ABSPATH . 'wp-settings.php';

$failure = null;
$fired = [];
add_action('wp_mail_failed', function ($error) use (&$failure, &$fired) { $failure = $error->get_error_message(); $fired[] = 'failed'; });
add_action('wp_mail_succeeded', function () use (&$fired) { $fired[] = 'succeeded'; });

function report(string $name, callable $send): void
{
    global $phpmailer, $failure, $fired;
    $failure = null;
    $fired = [];
    $begin = hrtime(true);
    $ok = $send();
    $took = hrtime(true) - $begin;
    $sent = $phpmailer->getSentMIMEMessage();
    echo json_encode([
        'name' => $name, 'ok' => $ok, 'failure' => $failure, 'fired' => implode(' ', $fired), 'took' => $took,
        'id' => $phpmailer->postriderID ?? (string) $phpmailer->getSMTPInstance()->getLastTransactionID(),
        'sent' => base64_encode($sent), 'mailer' => $phpmailer->Mailer, 'phpmailer' => $phpmailer::VERSION,
    ]), "\n";
}

$dir = getenv('WP_TEMP');
$to = getenv('WP_TO');

report('plain', fn () => wp_mail($to, 'Plain text', "Hello,\n.a dot leads this line\n\nBye.\n"));

report('utf8', fn () => wp_mail($to, 'Grüße aus Köln — 你好', "Ünïcödé: 中文, العربية, emoji 🎉\r\nZweite Zeile", ['From: Jörg Müller <joerg@blog.example>']));

report('html', fn () => wp_mail($to, 'HTML', '<html><body><h1>Danke für Ihre Bestellung</h1>' . str_repeat('<p>A paragraph of the order.</p>', 80) . '</body></html>',
    ['Content-Type: text/html; charset=UTF-8', 'Reply-To: Kundin <kundin@elsewhere.example>']));

$binary = '';
for ($i = 0; $i < 100000; $i++) {
    $binary .= chr(($i * 31 + intdiv($i, 257)) & 255);
}
file_put_contents("$dir/invoice ü.pdf", $binary);
report('attachment', fn () => wp_mail($to, 'With attachment', 'See the invoice.', '', ["$dir/invoice ü.pdf"]));

// The smallest PNG: one pixel.
$png = base64_decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==');
file_put_contents("$dir/logo.png", $png);
$embed = function ($mailer) use ($dir) {
    $mailer->addEmbeddedImage("$dir/logo.png", 'logo', 'logo.png', 'base64', 'image/png');
    $mailer->AltBody = 'A logo is shown here.';
};
add_action('phpmailer_init', $embed, 20);
report('embedded', fn () => wp_mail($to, 'Embedded image', '<p>Logo: <img src="cid:logo"></p>', ['Content-Type: text/html; charset=UTF-8']));
remove_action('phpmailer_init', $embed, 20);
$GLOBALS['phpmailer']->AltBody = '';

report('long line', fn () => wp_mail($to, 'Long line', str_repeat('0123456789', 300)));
