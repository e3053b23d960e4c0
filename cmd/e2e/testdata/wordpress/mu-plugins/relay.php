<?php
// What the guide tells site owners to write: SMTP to the relay on this host.
add_action('phpmailer_init', function ($mailer) {
    $mailer->isSMTP();
    $mailer->Host = getenv('WP_SMTP_HOST');
    $mailer->Port = (int) getenv('WP_SMTP_PORT');
    $mailer->SMTPAuth = true;
    $mailer->Username = getenv('WP_SMTP_USER');
    $mailer->Password = getenv('WP_SMTP_PASSWORD');
});
