<?php
// Does what WP_DO names, on a site with the mu-plugin, and prints one line of JSON.
require __DIR__ . '/load.php';
if (getenv('WP_DO') === 'cli') {
    require __DIR__ . '/cli.php';
    define('WP_CLI', true);
}
require ABSPATH . 'wp-settings.php';

$events = [];
add_action('wp_mail_failed', function ($error) use (&$events) { $events[] = 'failed: ' . $error->get_error_message(); });
add_action('wp_mail_succeeded', function ($mail) use (&$events) { $events[] = 'succeeded: ' . implode(',', (array) $mail['to']); });
$to = getenv('WP_TO');
$did = [];

switch (getenv('WP_DO')) {
    case 'mail': // as often as WP_COUNT says, whatever comes of it
        for ($i = 0; $i < (int) (getenv('WP_COUNT') ?: 1); $i++) {
            $did['ok'] = wp_mail($to, 'One mail', "A line.\n", getenv('WP_HEADERS') ?: '');
        }
        $did['mailer'] = $GLOBALS['phpmailer']->Mailer;
        $did['class'] = get_class($GLOBALS['phpmailer']);
        $did['from'] = $GLOBALS['phpmailer']->From;
        $did['autotls'] = $GLOBALS['phpmailer']->SMTPAutoTLS;
        $did['phpmailer'] = $GLOBALS['phpmailer']::VERSION;
        $did['log'] = class_exists('Postrider_Log') ? Postrider_Log::all() : null;
        $did['kept'] = class_exists('Postrider_Kept') ? count(Postrider_Kept::all()) : null;
        $did['next'] = (bool) wp_next_scheduled('postrider_send_kept');
        break;

    case 'forget': // what other tests have left
        foreach (['postrider_failures', 'postrider_senders', 'postrider_kept'] as $name) {
            delete_site_option($name);
        }
        break;

    case 'send kept':
        do_action('postrider_send_kept');
        $did['kept'] = count(Postrider_Kept::all());
        $did['log'] = Postrider_Log::all();
        break;

    case 'password reset':
        $did['ok'] = retrieve_password('admin') === true;
        break;

    case 'comments': // every administrator is told of each comment
        $admins = [];
        for ($i = 1; $i <= 5; $i++) {
            $user = username_exists("admin$i") ?: wp_create_user("admin$i", 'secret', "admin$i@customer.example");
            (new WP_User($user))->set_role('administrator');
            $admins[] = "admin$i@customer.example";
        }
        add_filter('comment_moderation_recipients', function () use ($admins) { return $admins; });
        $post = wp_insert_post(['post_title' => 'A post', 'post_content' => 'Text', 'post_status' => 'publish', 'post_author' => 1]);
        for ($i = 1; $i <= 4; $i++) {
            $comment = wp_insert_comment(['comment_post_ID' => $post, 'comment_author' => "Reader $i", 'comment_author_email' => "reader$i@elsewhere.example",
                'comment_content' => "Comment $i", 'comment_approved' => 0]);
            wp_notify_moderator($comment);
        }
        break;

    case 'health':
        require_once ABSPATH . 'wp-admin/includes/class-wp-site-health.php';
        require_once ABSPATH . 'wp-admin/includes/class-wp-debug-data.php';
        require_once ABSPATH . 'wp-admin/includes/admin.php';
        wp_set_current_user(1);
        $did['tests'] = [];
        foreach (WP_Site_Health::get_tests()['async'] as $name => $test) {
            if (strpos($name, 'postrider_') === 0) {
                $did['tests'][$name] = call_user_func($test['async_direct_test']);
                $path = '/postrider/v1/health/' . substr($name, strlen('postrider_'));
                $did['rest'][$name] = rest_do_request(new WP_REST_Request('GET', $path))->get_data();
            }
        }
        wp_set_current_user(0);
        $did['stranger'] = rest_do_request(new WP_REST_Request('GET', '/postrider/v1/health/connection'))->get_status();
        $did['information'] = apply_filters('debug_information', [])['postrider'];
        break;

    case 'notice':
        require_once ABSPATH . 'wp-admin/includes/admin.php';
        wp_set_current_user(1);
        foreach (['dashboard', 'edit-post'] as $screen) {
            set_current_screen($screen);
            ob_start();
            do_action('admin_notices');
            $did[$screen] = ob_get_clean();
        }
        break;

    case 'cli':
        foreach (explode('|', getenv('WP_COMMANDS')) as $line) {
            $words = explode(' ', $line);
            $did[$line] = WP_CLI::run(array_shift($words), $words);
        }
        break;

    case 'postmark': // as FluentSMTP and Post SMTP, then as WP Mail SMTP ask it
        $mail = ['From' => 'shop@blog.example', 'To' => $to, 'Subject' => 'By Postmark', 'TextBody' => 'Hello', 'MessageStream' => 'outbound'];
        $args = ['headers' => ['Accept' => 'application/json', 'Content-Type' => 'application/json', 'X-Postmark-Server-Token' => 'a-token-of-postmark'], 'body' => wp_json_encode($mail)];
        $did['plain'] = wp_remote_post('https://api.postmarkapp.com/email', $args);
        $url = apply_filters('wp_mail_smtp_providers_mailer_remote_request_url', 'https://api.postmarkapp.com/email', null);
        $did['url'] = $url;
        $did['safe'] = wp_safe_remote_post($url, $args);
        foreach (['plain', 'safe'] as $how) {
            $did[$how] = is_wp_error($did[$how]) ? $did[$how]->get_error_message() : $did[$how]['response']['code'] . ' ' . $did[$how]['body'];
        }
        break;

    case 'network': // two sites of one network, each of which sends
        $second = get_sites(['domain' => 'second.blog.example', 'fields' => 'ids']);
        $id = $second ? $second[0] : wpmu_create_blog('second.blog.example', '/', 'Second', 1);
        $did['first'] = wp_mail($to, 'Of the first', 'Hello');
        switch_to_blog($id);
        $did['second'] = wp_mail($to, 'Of the second', 'Hello');
        restore_current_blog();
        break;

    case 'cost': // what a page costs that sends nothing
        $did['settings read'] = class_exists('Postrider_Mailer', false);
        $did['queries'] = $GLOBALS['wpdb']->num_queries;
        break;

    default:
        fwrite(STDERR, 'nobody knows ' . getenv('WP_DO'));
        exit(2);
}
echo json_encode(['events' => $events] + $did, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
