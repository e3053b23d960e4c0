<?php
/**
 * Plugin Name: Postrider
 * Description: Hands this site's mail to a Postrider relay, over HTTP or SMTP. Set up by constants or environment variables; it has no screens.
 * Version: 1.0.0
 * Requires at least: 6.0
 * Requires PHP: 7.4
 * License: see the LICENSE of Postrider
 *
 * Copy this one file to wp-content/mu-plugins/. What each setting does is in
 * configs/docs/wordpress.md of Postrider.
 */

if (!defined('ABSPATH')) {
    exit;
}

/** What the plugin is told by constants, the environment and files. */
final class Postrider_Settings
{
    /**
     * Own name => [default, names in use elsewhere, what it is]. A constant counts
     * before an environment variable, the own name before the others, and each
     * variable NAME may be given as a file in NAME_FILE. The table in wordpress.md
     * is held to this one by a test: one line each.
     */
    const ALL = [
        'POSTRIDER_WP_URL' => ['', [], 'Address of the relay\'s HTTP API, such as `http://relay:8025`. Set, mail goes over HTTP.'],
        'POSTRIDER_WP_KEY' => ['', [], 'A key of the relay with the scope `send`, for HTTP.'],
        'POSTRIDER_WP_MODE' => ['', [], '`http` or `smtp`, where both are set up. Empty: `http` if there is an URL, else `smtp` if there is a host, else the plugin does nothing.'],
        'POSTRIDER_WP_HOST' => ['', ['WORDPRESS_SMTP_HOST', 'WP_SMTP_HOST', 'SMTP_HOST'], 'Name of the relay for SMTP; several may be listed as `a:2525;b:2525`.'],
        'POSTRIDER_WP_PORT' => ['2525', ['WORDPRESS_SMTP_PORT', 'WORDPRESS_SMTP_PORT_NUMBER', 'WP_SMTP_PORT', 'SMTP_PORT'], 'Its port.'],
        'POSTRIDER_WP_USER' => ['', ['WORDPRESS_SMTP_USER', 'WP_SMTP_USERNAME', 'SMTP_USER'], 'Account of the relay. Without a key it serves HTTP too.'],
        'POSTRIDER_WP_PASSWORD' => ['', ['WORDPRESS_SMTP_PASSWORD', 'WP_SMTP_PASSWORD', 'SMTP_PASS'], 'Its password, or a key with the scope `send`.'],
        'POSTRIDER_WP_AUTH' => ['', ['SMTP_AUTH'], '`false`: do not log in for SMTP, though there is a user. Empty: log in if there is one.'],
        'POSTRIDER_WP_TLS' => ['', ['WORDPRESS_SMTP_PROTOCOL', 'WP_SMTP_PROTOCOL'], 'For SMTP: `none`, `starttls` (also `tls`) or `ssl`. Empty: `ssl` with port 465, else `none`.'],
        'POSTRIDER_WP_CA' => ['', [], 'File with the certificate authority of the relay, where the system does not know it.'],
        'POSTRIDER_WP_TIMEOUT' => ['10', [], 'Seconds to wait for the relay, at most; a second try waits as long again.'],
        'POSTRIDER_WP_FROM' => ['', [], 'Sender of mail for which nobody chose one, in place of `wordpress@` and the site\'s host.'],
        'POSTRIDER_WP_FROM_NAME' => ['', [], 'Its display name, in place of `WordPress`.'],
        'POSTRIDER_WP_FORCE_FROM' => ['false', [], '`true`: POSTRIDER_WP_FROM is the sender of all mail.'],
        'POSTRIDER_WP_RETURN_PATH' => ['', [], 'Address that bounces go to. Empty: the sender.'],
        'POSTRIDER_WP_KEEP' => ['false', [], '`true`: over HTTP, keep mail in the database while the relay cannot be reached, and try again by WP-Cron.'],
        'POSTRIDER_WP_POSTMARK' => ['false', [], '`true`: what other plugins send to Postmark goes to the relay; see below.'],
        'POSTRIDER_WP_OFF' => ['false', [], '`true`: the plugin does nothing.'],
    ];

    /** @return array{0: string, 1: string} the value and where it is from, '' for the default */
    public static function find(string $name): array
    {
        list($default, $others) = self::ALL[$name];
        $names = array_merge([$name], $others);
        foreach ($names as $n) {
            if (defined($n) && is_scalar(constant($n))) {
                $value = constant($n);
                return [is_bool($value) ? ($value ? 'true' : 'false') : trim((string) $value), $n];
            }
        }
        foreach ($names as $n) {
            $value = self::env($n);
            if ($value !== '') {
                return [$value, $n];
            }
            $file = self::env($n . '_FILE');
            if ($file !== '') {
                $text = is_readable($file) ? file_get_contents($file) : false;
                return [$text === false ? '' : trim($text), $n . '_FILE'];
            }
        }
        return [$default, ''];
    }

    public static function get(string $name): string
    {
        return self::find($name)[0];
    }

    public static function on(string $name): bool
    {
        return in_array(strtolower(self::get($name)), ['1', 'true', 'on', 'yes'], true);
    }

    private static function env(string $name): string
    {
        $value = getenv($name);
        if ($value === false && isset($_SERVER[$name]) && strncmp($name, 'HTTP_', 5) !== 0) {
            $value = $_SERVER[$name];
        }
        return is_string($value) ? trim($value) : '';
    }

    /** How mail goes: 'http', 'smtp', or '' where nothing is set up. */
    public static function mode(): string
    {
        if (self::on('POSTRIDER_WP_OFF')) {
            return '';
        }
        $url = self::get('POSTRIDER_WP_URL') !== '';
        $host = self::get('POSTRIDER_WP_HOST') !== '';
        switch (strtolower(self::get('POSTRIDER_WP_MODE'))) {
            case 'http':
                return $url ? 'http' : '';
            case 'smtp':
                return $host ? 'smtp' : '';
        }
        return $url ? 'http' : ($host ? 'smtp' : '');
    }

    public static function url(): string
    {
        return rtrim(self::get('POSTRIDER_WP_URL'), '/');
    }

    /** PHPMailer's word for the encryption. */
    public static function secure(): string
    {
        switch (strtolower(self::get('POSTRIDER_WP_TLS'))) {
            case 'ssl':
            case 'smtps':
                return 'ssl';
            case 'tls':
            case 'starttls':
                return 'tls';
            case '':
                return self::get('POSTRIDER_WP_PORT') === '465' ? 'ssl' : '';
        }
        return '';
    }

    public static function logsIn(): bool
    {
        $auth = strtolower(self::get('POSTRIDER_WP_AUTH'));
        return self::get('POSTRIDER_WP_USER') !== '' && !in_array($auth, ['0', 'false', 'off', 'no'], true);
    }

    public static function timeout(): int
    {
        return max(1, min(120, (int) self::get('POSTRIDER_WP_TIMEOUT')));
    }

    public static function siteHost(): string
    {
        $host = wp_parse_url(network_home_url(), PHP_URL_HOST);
        return is_string($host) && $host !== '' ? $host : 'localhost';
    }
}

/** A failure that says what is wrong, what to do, and under which name the relay's log has it. */
final class Postrider_Failure
{
    public $code;
    public $message;
    public $hint;
    public $ref;
    /** @var bool whether the relay may take the same message a moment later */
    public $temporary = false;

    public function __construct(string $code, string $message, string $hint = '', string $ref = '')
    {
        $this->code = $code;
        $this->message = $message;
        $this->hint = $hint;
        $this->ref = $ref;
    }

    public function text(): string
    {
        $text = 'Postrider: ' . $this->code . ': ' . $this->message;
        if ($this->hint !== '') {
            $text .= (preg_match('/[.!?]$/', $text) ? ' ' : '. ') . $this->hint;
        }
        return $this->ref === '' ? $text : $text . ' ref=' . $this->ref;
    }

    /** Hides addresses but for the first letter and the domain. */
    public static function mask(string $text): string
    {
        return (string) preg_replace('/([^\s<>"\'@:;,()\[\]])[^\s<>"\'@:;,()\[\]]*@/u', '$1***@', wp_check_invalid_utf8($text, true));
    }

    /** What a person can do about PHPMailer's words, which lack the relay's. */
    public static function ofSMTP(string $message): self
    {
        $ref = preg_match('/ref=([A-Za-z0-9_-]+)/', $message, $found) ? $found[1] : '';
        $host = Postrider_Settings::get('POSTRIDER_WP_HOST');
        $known = [
            'certificate' => ['tls', 'The relay\'s certificate is not one for ' . $host . ': use the name that it is made for, or POSTRIDER_WP_CA.'],
            'Could not authenticate' => ['login', 'The relay knows no such user and password: see POSTRIDER_WP_USER and POSTRIDER_WP_PASSWORD. "wp postrider status" and Site Health show the relay\'s answer.'],
            'Could not connect' => ['unreachable', 'See that the relay runs and that ' . $host . ' and the port are right and not blocked by a firewall.'],
            'connect() failed' => ['unreachable', 'See that the relay runs and that ' . $host . ' and the port are right and not blocked by a firewall.'],
            'Unauthenticated senders' => ['login', 'Set POSTRIDER_WP_USER and POSTRIDER_WP_PASSWORD.'],
            'Invalid address' => ['sender', 'Set POSTRIDER_WP_FROM to a sender that may be used.'],
            'data not accepted' => ['content', 'The relay\'s log says why it did not take the message.'],
        ];
        foreach ($known as $words => $what) {
            if (stripos($message, $words) !== false) {
                $hint = $what[1];
                if ($what[0] === 'unreachable' && strpos($host, '_') !== false) {
                    $hint = 'PHPMailer connects to no host with an underscore in its name, such as ' . $host . ': name it with a hyphen.';
                }
                return new self($what[0], $message, $hint, $ref);
            }
        }
        return new self('refused', $message, '', $ref);
    }
}

/** The relay's HTTP API. */
final class Postrider_API
{
    /**
     * Sends a built message; twice if need be, under one idempotency key, so that
     * it is taken once.
     *
     * @param string[] $to envelope recipients
     * @return string|Postrider_Failure the relay's id of the message
     */
    public static function send(string $from, array $to, string $mime, string $key)
    {
        $query = 'from=' . rawurlencode($from === '' ? '<>' : $from);
        foreach ($to as $address) {
            $query .= '&to=' . rawurlencode($address);
        }
        $args = [
            'method' => 'POST',
            'body' => $mime,
            'headers' => ['Content-Type' => 'message/rfc822', 'Idempotency-Key' => $key],
        ];
        for ($try = 1;; $try++) {
            $answer = self::call('/v1/messages/raw?' . $query, $args);
            if (!$answer instanceof Postrider_Failure) {
                return isset($answer['id']) ? (string) $answer['id'] : '';
            }
            if ($answer->code === 'sender_not_allowed') {
                $answer->hint = 'The sender was ' . $from . ': choose one that may be used, or set POSTRIDER_WP_FROM and POSTRIDER_WP_FORCE_FROM.';
            }
            if (!$answer->temporary || $try === 2) {
                return $answer;
            }
        }
    }

    /** @return array|Postrider_Failure how the account's mail fares */
    public static function status(string $domain = '')
    {
        $answer = self::call('/v1/status' . ($domain === '' ? '' : '?domain=' . rawurlencode($domain)), ['method' => 'GET']);
        if (is_array($answer) && isset($answer['senders'])) {
            update_site_option('postrider_senders', $answer['senders']);
        }
        return $answer;
    }

    /** @return array|Postrider_Failure */
    private static function call(string $path, array $args)
    {
        $key = Postrider_Settings::get('POSTRIDER_WP_KEY');
        $user = Postrider_Settings::get('POSTRIDER_WP_USER');
        $args['headers']['Accept'] = 'application/json';
        if ($key !== '') {
            $args['headers']['Authorization'] = 'Bearer ' . $key;
        } elseif ($user !== '') {
            $args['headers']['Authorization'] = 'Basic ' . base64_encode($user . ':' . Postrider_Settings::get('POSTRIDER_WP_PASSWORD'));
        }
        $args += ['timeout' => Postrider_Settings::timeout(), 'redirection' => 0, 'user-agent' => 'Postrider-WordPress/1.0'];
        $ca = Postrider_Settings::get('POSTRIDER_WP_CA');
        if ($ca !== '') {
            $args['sslcertificates'] = $ca;
        }
        $response = wp_remote_request(Postrider_Settings::url() . $path, $args);
        if (is_wp_error($response)) {
            return self::unreachable($response);
        }
        $status = (int) wp_remote_retrieve_response_code($response);
        $body = json_decode(wp_remote_retrieve_body($response), true);
        if ($status >= 200 && $status < 300 && is_array($body)) {
            return $body;
        }
        return self::refused($status, is_array($body) ? $body : [], (string) wp_remote_retrieve_header($response, 'x-request-id'));
    }

    private static function unreachable(WP_Error $error): Postrider_Failure
    {
        $url = Postrider_Settings::url();
        if ($error->get_error_code() === 'http_request_not_executed') {
            return new Postrider_Failure('blocked', $error->get_error_message(),
                'This site lets no request out (WP_HTTP_BLOCK_EXTERNAL): add ' . wp_parse_url($url, PHP_URL_HOST) . ' to WP_ACCESSIBLE_HOSTS.');
        }
        $hint = 'See that the relay runs and that POSTRIDER_WP_URL (' . $url . ') is right and not blocked by a firewall.';
        $code = 'unreachable';
        if (stripos($error->get_error_message(), 'SSL') !== false || stripos($error->get_error_message(), 'certificate') !== false) {
            $code = 'tls';
            $hint = 'The relay\'s certificate is not one for the name in POSTRIDER_WP_URL: use the name that it is made for, or POSTRIDER_WP_CA.';
        }
        $failure = new Postrider_Failure($code, $error->get_error_message(), $hint);
        $failure->temporary = true;
        return $failure;
    }

    private static function refused(int $status, array $problem, string $ref): Postrider_Failure
    {
        $text = isset($problem['detail']) ? (string) $problem['detail'] : 'The answer was HTTP ' . $status . ', and not the relay\'s.';
        foreach (isset($problem['errors']) && is_array($problem['errors']) ? $problem['errors'] : [] as $e) {
            if (is_array($e) && isset($e['detail']) && strpos($text, (string) $e['detail']) === false) {
                $text .= ' ' . $e['detail'];
            }
        }
        $code = isset($problem['code']) ? (string) $problem['code'] : 'http_' . $status;
        $hint = '';
        if ($status === 401) {
            $hint = 'Set POSTRIDER_WP_KEY to a key that the relay knows: "postrider key create --scope send" makes one.';
        } elseif ($status === 404 || !isset($problem['code'])) {
            $hint = 'See that POSTRIDER_WP_URL is the address of the relay\'s HTTP listener.';
        } elseif ($status === 403 && $code === 'forbidden_scope') {
            $hint = 'Use a key with the scope send.';
        }
        $failure = new Postrider_Failure($code, $text, $hint, isset($problem['request_id']) ? (string) $problem['request_id'] : $ref);
        $failure->temporary = $status >= 500;
        return $failure;
    }
}

/** The last failures, for Site Health and WP-CLI. */
final class Postrider_Log
{
    const KEPT = 20;
    const OPTION = 'postrider_failures';

    public static function add(Postrider_Failure $f, array $to): void
    {
        $list = self::all();
        array_unshift($list, [
            'at' => time(),
            'site' => get_current_blog_id(),
            'to' => array_map(['Postrider_Failure', 'mask'], array_slice(array_values(array_map('strval', $to)), 0, 3)),
            'recipients' => count($to),
            'code' => $f->code,
            'message' => Postrider_Failure::mask(substr($f->message, 0, 1000)),
            'hint' => $f->hint,
            'ref' => $f->ref,
        ]);
        update_site_option(self::OPTION, array_slice($list, 0, self::KEPT));
    }

    public static function all(): array
    {
        $list = get_site_option(self::OPTION, []);
        return is_array($list) ? $list : [];
    }
}

/** Mail that waits in the database for a relay that could not be reached. */
final class Postrider_Kept
{
    const HOOK = 'postrider_send_kept';
    const OPTION = 'postrider_kept';
    const MESSAGES = 100;
    const SIZE = 2097152; // octets of one message
    const LIFE = 82800;   // seconds: less than the relay remembers idempotency keys

    public static function add(string $from, array $to, string $mime, string $key): bool
    {
        $list = self::all();
        if (count($list) >= self::MESSAGES || strlen($mime) > self::SIZE) {
            return false;
        }
        $name = self::OPTION . '_' . md5($key);
        $kept = ['from' => $from, 'to' => array_values($to), 'mime' => base64_encode($mime), 'key' => $key];
        if (!isset($list[$name]) && !add_site_option($name, $kept)) {
            return false;
        }
        $list[$name] = time();
        update_site_option(self::OPTION, $list);
        self::schedule();
        return true;
    }

    /** @return array<string, int> when each was kept, by the name of its option */
    public static function all(): array
    {
        $list = get_site_option(self::OPTION, []);
        return is_array($list) ? $list : [];
    }

    /** Sends what waits, until the relay cannot be reached again. */
    public static function send(): void
    {
        foreach (self::all() as $name => $since) {
            $m = get_site_option($name);
            if (is_array($m)) {
                $done = Postrider_API::send($m['from'], $m['to'], (string) base64_decode($m['mime']), $m['key']);
                if ($done instanceof Postrider_Failure) {
                    if ($done->temporary && time() - $since < self::LIFE) {
                        break;
                    }
                    Postrider_Log::add($done, $m['to']);
                }
            }
            delete_site_option($name);
            $list = self::all();
            unset($list[$name]);
            update_site_option(self::OPTION, $list);
        }
        if (self::all()) {
            self::schedule();
        }
    }

    private static function schedule(): void
    {
        if (!wp_next_scheduled(self::HOOK)) {
            wp_schedule_single_event(time() + 5 * MINUTE_IN_SECONDS, self::HOOK);
        }
    }
}

/** Declares the mailer, once WordPress has loaded its own. */
function postrider_mailer(): string
{
    if (class_exists('Postrider_Mailer', false)) {
        return 'Postrider_Mailer';
    }
    if (!class_exists('PHPMailer\PHPMailer\PHPMailer', false)) {
        require_once ABSPATH . WPINC . '/PHPMailer/PHPMailer.php';
        require_once ABSPATH . WPINC . '/PHPMailer/SMTP.php';
        require_once ABSPATH . WPINC . '/PHPMailer/Exception.php';
    }
    if (!class_exists('WP_PHPMailer', false) && file_exists(ABSPATH . WPINC . '/class-wp-phpmailer.php')) {
        require_once ABSPATH . WPINC . '/class-wp-phpmailer.php';
    }
    class_alias(class_exists('WP_PHPMailer', false) ? 'WP_PHPMailer' : 'PHPMailer\PHPMailer\PHPMailer', 'Postrider_Mailer_Base');

    /** PHPMailer calls postriderSend() with what it has built, since Mailer is 'postrider'. */
    class Postrider_Mailer extends Postrider_Mailer_Base
    {
        /** @var string the relay's id of the last message */
        public $postriderID = '';

        protected function postriderSend($header, $body)
        {
            $this->postriderID = '';
            $mime = rtrim($header, "\r\n") . static::$LE . static::$LE . $body;
            $from = $this->Sender === '' ? $this->From : $this->Sender;
            $to = array_keys($this->getAllRecipientAddresses());
            // A plugin may set one Message-ID for several messages: its own mail
            // must not be taken for a repetition.
            $key = trim($this->getLastMessageID(), '<>') . '/' . substr(hash('sha256', implode("\n", $to) . "\n" . $mime), 0, 16);
            $key = substr((string) preg_replace('/[^!-~]/', '', $key), -250);
            $done = Postrider_API::send($from, $to, $mime, $key);
            if ($done instanceof Postrider_Failure) {
                if (!$done->temporary || !Postrider_Settings::on('POSTRIDER_WP_KEEP') || !Postrider_Kept::add($from, $to, $mime, $key)) {
                    Postrider::$failure = $done;
                    throw new PHPMailer\PHPMailer\Exception($done->text(), self::STOP_CRITICAL);
                }
                $done = 'kept';
            }
            $this->postriderID = $done;
            $this->doCallback(true, $this->to, $this->cc, $this->bcc, $this->Subject, $this->Body, $this->From, ['smtp_transaction_id' => $done]);
            return true;
        }
    }
    return 'Postrider_Mailer';
}

/** What happens when WordPress sends. */
final class Postrider
{
    /** @var Postrider_Failure|null of the message that is being sent */
    public static $failure = null;

    public static function start(): void
    {
        add_filter('wp_mail', [self::class, 'install'], PHP_INT_MAX);
        add_action('phpmailer_init', [self::class, 'prepare'], PHP_INT_MAX);
        add_filter('wp_mail_from', [self::class, 'sender'], PHP_INT_MAX);
        add_filter('wp_mail_from_name', [self::class, 'senderName'], PHP_INT_MAX);
        add_action('wp_mail_failed', [self::class, 'failed'], PHP_INT_MIN);
        add_action(Postrider_Kept::HOOK, ['Postrider_Kept', 'send']);
        add_action('admin_notices', [self::class, 'notice']);
        add_action('network_admin_notices', [self::class, 'notice']);
        add_filter('site_status_tests', ['Postrider_Health', 'tests']);
        add_action('rest_api_init', ['Postrider_Health', 'routes']);
        add_filter('debug_information', ['Postrider_Health', 'information']);
        add_filter('pre_http_request', ['Postrider_Postmark', 'request'], 10, 3);
        add_filter('wp_mail_smtp_providers_mailer_remote_request_url', ['Postrider_Postmark', 'address'], 10, 2);
        add_filter('http_request_host_is_external', ['Postrider_Postmark', 'external'], 10, 2);
        add_filter('http_allowed_safe_ports', ['Postrider_Postmark', 'ports'], 10, 2);
        add_filter('http_request_args', ['Postrider_Postmark', 'token'], 10, 2);
        if (defined('WP_CLI') && WP_CLI) {
            WP_CLI::add_command('postrider', 'Postrider_Command');
        }
    }

    /** Who else sends this site's mail, so that the plugin stands down; '' for nobody. */
    public static function other(): string
    {
        if (defined('WPMS_PLUGIN_VER') || function_exists('wp_mail_smtp') || defined('WPMS_ON') && constant('WPMS_ON')) {
            return 'WP Mail SMTP';
        }
        if (defined('FLUENTMAIL') || defined('FLUENTMAIL_PLUGIN_FILE') || defined('FLUENTMAIL_PLUGIN_VERSION')) {
            return 'FluentSMTP';
        }
        if (defined('POST_SMTP_VER') || class_exists('Postman', false)) {
            return 'Post SMTP';
        }
        if (did_action('plugins_loaded') && function_exists('wp_mail')) {
            $file = wp_normalize_path((string) (new ReflectionFunction('wp_mail'))->getFileName());
            if (strpos($file, wp_normalize_path(ABSPATH . WPINC)) !== 0) {
                return 'a plugin with a wp_mail() of its own (' . basename(dirname($file)) . '/' . basename($file) . ')';
            }
        }
        return '';
    }

    /** 'http' or 'smtp' where mail goes through us. */
    public static function active(): string
    {
        $mode = Postrider_Settings::mode();
        return $mode !== '' && self::other() === '' ? $mode : '';
    }

    /** Filter wp_mail: puts our mailer where WordPress looks for one, before it does. */
    public static function install($mail)
    {
        self::$failure = null;
        if (self::active() !== 'http') {
            return $mail;
        }
        $class = postrider_mailer();
        $there = isset($GLOBALS['phpmailer']) ? $GLOBALS['phpmailer'] : null;
        $stock = !is_object($there) || in_array(get_class($there), ['PHPMailer\PHPMailer\PHPMailer', 'WP_PHPMailer'], true);
        if ($stock) {
            $GLOBALS['phpmailer'] = new $class(true);
            $class::$validator = static function ($email) {
                return (bool) is_email($email);
            };
        }
        return $mail;
    }

    /** Action phpmailer_init: core resets the mailer before each message. */
    public static function prepare($mailer): void
    {
        $mode = self::active();
        if ($mode === '') {
            return;
        }
        $host = Postrider_Settings::siteHost();
        $mailer->Hostname = $host; // of the Message-ID
        if ((string) $mailer->Sender === '') {
            $path = Postrider_Settings::get('POSTRIDER_WP_RETURN_PATH');
            $mailer->Sender = $path === '' ? $mailer->From : $path;
        }
        if (is_multisite()) {
            $mailer->addCustomHeader('X-Relay-Site', get_current_blog_id() . ' ' . wp_parse_url(home_url(), PHP_URL_HOST));
        }
        if ($mode === 'http') {
            if (method_exists($mailer, 'postriderSend')) {
                $mailer->Mailer = 'postrider';
            }
            return;
        }
        $mailer->isSMTP();
        $mailer->Host = Postrider_Settings::get('POSTRIDER_WP_HOST');
        $mailer->Port = (int) Postrider_Settings::get('POSTRIDER_WP_PORT');
        $mailer->SMTPSecure = Postrider_Settings::secure();
        $mailer->SMTPAutoTLS = false;
        $mailer->SMTPAuth = Postrider_Settings::logsIn();
        $mailer->AuthType = '';
        $mailer->Username = $mailer->SMTPAuth ? Postrider_Settings::get('POSTRIDER_WP_USER') : '';
        $mailer->Password = $mailer->SMTPAuth ? Postrider_Settings::get('POSTRIDER_WP_PASSWORD') : '';
        $mailer->Helo = $host;
        $mailer->Timeout = Postrider_Settings::timeout();
        $mailer->SMTPOptions = Postrider_Health::tlsOptions();
        // Timeout alone does not bound the wait for a reply.
        $mailer->getSMTPInstance()->Timelimit = Postrider_Settings::timeout() + 5;
    }

    /** Filter wp_mail_from: repairs the sender that nobody chose. */
    public static function sender($from)
    {
        if (self::active() === '') {
            return $from;
        }
        $own = Postrider_Settings::get('POSTRIDER_WP_FROM');
        if ($own !== '' && Postrider_Settings::on('POSTRIDER_WP_FORCE_FROM')) {
            return $own;
        }
        $default = 'wordpress@' . preg_replace('/^www\./', '', Postrider_Settings::siteHost());
        if (strcasecmp((string) $from, $default) !== 0 && is_email($from)) {
            return $from;
        }
        if ($own !== '') {
            return $own;
        }
        $senders = get_site_option('postrider_senders');
        if (!is_array($senders) || empty($senders['default']) || is_email($from) && self::allows($senders, (string) $from)) {
            return $from;
        }
        return $senders['default'];
    }

    /** Whether the relay, when it was asked last, let the account send as an address. */
    public static function allows(array $senders, string $address): bool
    {
        if (!empty($senders['any'])) {
            return true;
        }
        $address = strtolower($address);
        $domain = (string) substr((string) strrchr($address, '@'), 1);
        foreach (isset($senders['allowed']) && is_array($senders['allowed']) ? $senders['allowed'] : [] as $pattern) {
            $pattern = strtolower((string) $pattern);
            $below = strncmp($pattern, '*.', 2) === 0;
            if ($pattern === $address || $pattern === $domain || $below && substr($domain, -strlen($pattern) + 1) === substr($pattern, 1)) {
                return true;
            }
        }
        return false;
    }

    /** Filter wp_mail_from_name. */
    public static function senderName($name)
    {
        $own = Postrider_Settings::get('POSTRIDER_WP_FROM_NAME');
        $forced = Postrider_Settings::on('POSTRIDER_WP_FORCE_FROM');
        return $own !== '' && ($name === 'WordPress' || $forced) && self::active() !== '' ? $own : $name;
    }

    /** Action wp_mail_failed, before others: adds what to do, and keeps the failure. */
    public static function failed($error): void
    {
        if (!$error instanceof WP_Error || self::active() === '') {
            return;
        }
        $code = $error->get_error_code();
        $failure = self::$failure;
        self::$failure = null;
        if ($failure === null) {
            $failure = Postrider_Failure::ofSMTP($error->get_error_message());
            if ($failure->hint !== '' && isset($error->errors[$code][0])) {
                $error->errors[$code][0] .= ' ' . $failure->hint;
            }
        }
        $data = $error->get_error_data();
        $to = is_array($data) && isset($data['to']) ? (array) $data['to'] : [];
        Postrider_Log::add($failure, $to);
    }

    public static function notice(): void
    {
        $screen = function_exists('get_current_screen') ? get_current_screen() : null;
        $shown = $screen && in_array(str_replace('-network', '', $screen->id), ['dashboard', 'plugins', 'site-health'], true);
        if (!$shown || !current_user_can('manage_options') || Postrider_Settings::mode() === '' || self::other() === '') {
            return;
        }
        echo '<div class="notice notice-warning"><p>', esc_html('Postrider stands down: the mail of this site is sent by ' . self::other() .
            '. Deactivate it to send through Postrider, or set POSTRIDER_WP_OFF.'), '</p></div>';
    }
}

/** Site Health: tests and facts. */
final class Postrider_Health
{
    public static function tests($tests)
    {
        if (Postrider::active() === '') {
            return $tests;
        }
        $labels = ['connection' => 'The mail relay', 'queue' => 'Mail that waits or has failed', 'domain' => 'SPF, DKIM and DMARC of the sender'];
        foreach ($labels as $name => $label) {
            if ($name !== 'connection' && Postrider_Settings::url() === '') {
                continue; // only the HTTP API knows
            }
            $tests['async']['postrider_' . $name] = [
                'label' => $label,
                'test' => rest_url('postrider/v1/health/' . $name),
                'has_rest' => true,
                'async_direct_test' => [self::class, $name],
            ];
        }
        return $tests;
    }

    public static function routes(): void
    {
        foreach (['connection', 'queue', 'domain'] as $name) {
            register_rest_route('postrider/v1', '/health/' . $name, [
                'methods' => 'GET',
                'callback' => [self::class, $name],
                'permission_callback' => static function () {
                    return current_user_can('view_site_health_checks');
                },
            ]);
        }
    }

    private static function result(string $test, string $status, string $label, array $lines): array
    {
        $text = '';
        foreach ($lines as $line) {
            $text .= '<p>' . esc_html($line) . '</p>';
        }
        return [
            'label' => $label,
            'status' => $status,
            'badge' => ['label' => 'Mail', 'color' => $status === 'good' ? 'blue' : 'red'],
            'description' => $text,
            'actions' => '',
            'test' => 'postrider_' . $test,
        ];
    }

    /** Everything that sending does, up to the sender, and no mail. */
    public static function connection(): array
    {
        $begin = microtime(true);
        list($steps, $failure) = Postrider_Settings::mode() === 'http' ? self::overHTTP() : self::overSMTP();
        $steps[] = sprintf('It took %d ms.', (int) round((microtime(true) - $begin) * 1000));
        if ($failure !== null) {
            return self::result('connection', 'critical', 'Mail cannot be handed to the relay', array_merge([$failure->text()], $steps));
        }
        return self::result('connection', 'good', 'Mail can be handed to the relay', $steps);
    }

    /** @return array{0: string[], 1: Postrider_Failure|null} */
    public static function overHTTP(): array
    {
        $url = Postrider_Settings::url();
        $status = Postrider_API::status();
        if ($status instanceof Postrider_Failure) {
            return [[], $status];
        }
        $steps = ['Connected to ' . $url . (strncmp($url, 'https:', 6) === 0 ? '; the certificate is for that name.' : '.')];
        $steps[] = 'The key is good for the account ' . $status['account'] . '.';
        if (empty($status['accepting'])) {
            return [$steps, new Postrider_Failure('not_accepting', 'The relay takes no mail at the moment: ' . (isset($status['reason']) ? $status['reason'] : 'it does not say why') . '.')];
        }
        if (!empty($status['reason'])) {
            return [$steps, new Postrider_Failure('account', 'The account may not send: ' . $status['reason'], 'Ask the relay\'s operator to enable it.')];
        }
        $from = self::from();
        if (!Postrider::allows($status['senders'], $from)) {
            if ($status['senders']['from_policy'] === 'reject') {
                return [$steps, new Postrider_Failure('sender', 'The account may not send as ' . $from . '.', 'Set POSTRIDER_WP_FROM to a sender that it may use, or allow this one at the relay.')];
            }
            $steps[] = 'The relay replaces the sender ' . $from . ' by ' . (isset($status['senders']['default']) ? $status['senders']['default'] : 'its own') . '.';
            return [$steps, null];
        }
        $steps[] = 'The sender ' . $from . ' is allowed.';
        return [$steps, null];
    }

    /** @return array{0: string[], 1: Postrider_Failure|null} */
    public static function overSMTP(): array
    {
        postrider_mailer(); // loads PHPMailer
        $smtp = new PHPMailer\PHPMailer\SMTP();
        $smtp->Timeout = Postrider_Settings::timeout();
        $smtp->Timelimit = Postrider_Settings::timeout();
        $secure = Postrider_Settings::secure();
        $hosts = explode(';', Postrider_Settings::get('POSTRIDER_WP_HOST'));
        $host = trim($hosts[0]);
        $port = (int) Postrider_Settings::get('POSTRIDER_WP_PORT');
        if (preg_match('/^(?:(ssl|tls):\/\/)?(.+?)(?::([0-9]+))?$/', $host, $m)) {
            $secure = $m[1] !== '' ? $m[1] : $secure;
            $host = $m[2];
            $port = isset($m[3]) ? (int) $m[3] : $port;
        }
        $helo = Postrider_Settings::siteHost();
        $steps = [];
        $do = static function (string $said, bool $ok) use ($smtp, &$steps): ?Postrider_Failure {
            if ($ok) {
                $steps[] = $said;
                return null;
            }
            $error = $smtp->getError();
            $text = trim($error['error'] . ' ' . $error['detail']);
            $failure = Postrider_Failure::ofSMTP($text);
            if ($error['smtp_code'] !== '') {
                if (in_array((string) $error['smtp_code'], ['535', '534', '538'], true)) {
                    $failure->hint = 'See POSTRIDER_WP_USER and POSTRIDER_WP_PASSWORD.';
                }
                $failure->code = $error['smtp_code'] . ($error['smtp_code_ex'] !== '' ? ' ' . $error['smtp_code_ex'] : '');
            }
            $smtp->quit();
            return $failure;
        };
        // A bad certificate is told by a warning of PHP alone, which PHPMailer's
        // own handler would swallow.
        $target = ($secure === 'ssl' ? 'ssl://' : '') . $host;
        $failure = $do('Connected to ' . $host . ':' . $port . '.', @$smtp->connect($target, $port, $smtp->Timeout, self::tlsOptions()));
        if ($failure !== null && $failure->code === 'refused') {
            $failure->code = 'unreachable';
            $failure->hint = 'See that the relay runs and that ' . $host . ' and port ' . $port . ' are right and not blocked by a firewall.';
        }
        $failure = $failure ?: $do('It answers to EHLO ' . $helo . '.', $smtp->hello($helo));
        if ($failure === null && $secure === 'tls') {
            $failure = $do('TLS: the certificate is for ' . $host . '.', $smtp->startTLS() && $smtp->hello($helo));
            if ($failure !== null && $failure->hint === '') {
                $failure->code = 'tls';
                $failure->hint = 'The relay offers no STARTTLS there, or its certificate is not one for ' . $host . ': see POSTRIDER_WP_TLS and POSTRIDER_WP_CA.';
            }
        } elseif ($failure === null && $secure === 'ssl') {
            $steps[] = 'TLS: the certificate is for ' . $host . '.';
        }
        if ($failure === null && Postrider_Settings::logsIn()) {
            $user = Postrider_Settings::get('POSTRIDER_WP_USER');
            $failure = $do('Logged in as ' . $user . '.', $smtp->authenticate($user, Postrider_Settings::get('POSTRIDER_WP_PASSWORD')));
        }
        $from = self::from();
        $failure = $failure ?: $do('The sender ' . $from . ' is allowed.', $smtp->mail($from) && $smtp->reset());
        if ($failure === null) {
            $smtp->quit();
        }
        return [$steps, $failure];
    }

    public static function tlsOptions(): array
    {
        $ca = Postrider_Settings::get('POSTRIDER_WP_CA');
        return $ca === '' ? [] : ['ssl' => ['cafile' => $ca]];
    }

    /** The sender of mail that names none. */
    public static function from(): string
    {
        $default = 'wordpress@' . preg_replace('/^www\./', '', Postrider_Settings::siteHost());
        return (string) apply_filters('wp_mail_from', $default);
    }

    /** Queue depth, oldest age and the last failures, here and at the relay. */
    public static function queue(): array
    {
        $status = Postrider_API::status();
        if ($status instanceof Postrider_Failure) {
            return self::result('queue', 'critical', 'The relay does not say what waits', [$status->text()]);
        }
        list($waiting, $oldest) = self::waiting($status);
        $lines = [($waiting === 0 ? 'Nothing waits.' : sprintf('%s%d recipients wait, the oldest for %s.', empty($status['at_least']) ? '' : 'At least ', $waiting, human_time_diff($oldest)))];
        $kept = count(Postrider_Kept::all());
        if ($kept > 0) {
            $lines[] = sprintf('%d messages are kept here until the relay can be reached.', $kept);
        }
        foreach (self::failures($status) as $line) {
            $lines[] = $line;
        }
        $bad = $kept > 0 || $waiting > 0 && time() - $oldest > HOUR_IN_SECONDS || count($lines) > 1;
        return self::result('queue', $bad ? 'recommended' : 'good', $bad ? 'Some mail waits or has failed' : 'Mail flows', $lines);
    }

    /** @return array{0: int, 1: int} how many recipients wait, and since when the oldest does */
    public static function waiting(array $status): array
    {
        $waiting = 0;
        $oldest = time();
        foreach (isset($status['states']) ? $status['states'] : [] as $state => $count) {
            if ($state === 'scheduled') {
                continue; // it waits because somebody wants it to
            }
            $waiting += (int) $count['recipients'];
            if (!empty($count['oldest'])) {
                $oldest = min($oldest, (int) strtotime($count['oldest']));
            }
        }
        return [$waiting, $oldest];
    }

    /** @return string[] of the last week, the relay's first */
    public static function failures(array $status): array
    {
        $lines = [];
        $since = time() - WEEK_IN_SECONDS;
        foreach (isset($status['failures']) ? $status['failures'] : [] as $f) {
            if (strtotime($f['at']) >= $since) {
                $lines[] = sprintf('%s: %s %s. %s %s (%s)', gmdate('Y-m-d\TH:i:s\Z', (int) strtotime($f['at'])), $f['recipient'], $f['state'], isset($f['advice']) ? $f['advice'] : '', isset($f['reply']) ? $f['reply'] : '', $f['message']);
            }
        }
        foreach (Postrider_Log::all() as $f) {
            if ($f['at'] >= $since) {
                $lines[] = self::line($f);
            }
        }
        return $lines;
    }

    /** One failure of the log in a line. */
    public static function line(array $f): string
    {
        return sprintf('%s: not handed over to %s%s: %s: %s %s%s', gmdate('Y-m-d\TH:i:s\Z', $f['at']), implode(', ', $f['to']),
            $f['recipients'] > count($f['to']) ? sprintf(' and %d more', $f['recipients'] - count($f['to'])) : '', $f['code'], $f['message'], $f['hint'],
            $f['ref'] === '' ? '' : ' ref=' . $f['ref']);
    }

    /** What the relay knows of the records of the From domain. */
    public static function domain(): array
    {
        $from = self::from();
        $domain = (string) substr((string) strrchr($from, '@'), 1);
        $status = Postrider_API::status($domain);
        if ($status instanceof Postrider_Failure) {
            return self::result('domain', 'recommended', 'The relay does not say how ' . $domain . ' stands', [$status->text()]);
        }
        $d = isset($status['domain']) ? $status['domain'] : [];
        if (empty($d['allowed'])) {
            return self::result('domain', 'recommended', 'The relay lets nobody send from ' . $domain . ' with this key', ['Set POSTRIDER_WP_FROM to a sender that it may use, or allow the domain at the relay.']);
        }
        if (empty($d['checked'])) {
            return self::result('domain', 'good', 'The records of ' . $domain . ' are being looked at', ['Look again in a minute.']);
        }
        $bad = 'good';
        $lines = [sprintf('SPF: %s. DKIM: %s. DMARC: %s.', self::level($d, 'spf'), self::level($d, 'dkim'), self::level($d, 'dmarc'))];
        foreach ($d['findings'] as $f) {
            if ($f['level'] !== 'fail' && $f['level'] !== 'warn') {
                continue;
            }
            $bad = $f['level'] === 'fail' ? 'critical' : ($bad === 'critical' ? 'critical' : 'recommended');
            $lines[] = ucfirst($f['found']) . '. ' . (isset($f['do']) ? $f['do'] : '');
            foreach (isset($f['publish']) ? $f['publish'] : [] as $r) {
                $lines[] = sprintf('%s %s %s', $r['name'], $r['type'], $r['value']);
            }
        }
        $label = $bad === 'good' ? 'SPF, DKIM and DMARC of ' . $domain . ' are as they must be' : 'The records of ' . $domain . ' keep mail from arriving';
        return self::result('domain', $bad, $label, $lines);
    }

    private static function level(array $d, string $name): string
    {
        return isset($d[$name]) ? $d[$name] : 'unknown';
    }

    public static function information($info)
    {
        $fields = [];
        $add = static function (string $label, $value) use (&$fields): void {
            $fields[sanitize_key($label)] = ['label' => $label, 'value' => (string) $value];
        };
        $mode = Postrider_Settings::mode();
        $add('Mode', $mode === '' ? 'off' : $mode);
        $add('Stands down for', Postrider::other() === '' ? 'nobody' : Postrider::other());
        foreach (array_keys(Postrider_Settings::ALL) as $name) {
            list($value, $source) = Postrider_Settings::find($name);
            if (in_array($name, ['POSTRIDER_WP_KEY', 'POSTRIDER_WP_PASSWORD'], true)) {
                $value = $value === '' ? 'not set' : 'set';
            }
            $value = (string) preg_replace('#//[^/@]*@#', '//***@', $value);
            $add($name, $value . ($source === '' ? ' (default)' : ($source === $name ? '' : ' (from ' . $source . ')')));
        }
        $add('Sender of mail that names none', $mode === '' ? '' : self::from());
        $add('Kept messages', count(Postrider_Kept::all()));
        foreach (Postrider_Log::all() as $i => $f) {
            $add('Failure ' . ($i + 1), self::line($f));
        }
        $info['postrider'] = ['label' => 'Postrider', 'description' => 'How this site hands its mail to the relay. Addresses are hidden.', 'fields' => $fields];
        return $info;
    }
}

/** Lets the Postmark mailers of other plugins send through the relay's own POST /email. */
final class Postrider_Postmark
{
    const HOST = 'api.postmarkapp.com';

    private static function on(): bool
    {
        return Postrider_Settings::on('POSTRIDER_WP_POSTMARK') && Postrider_Settings::url() !== '' && !Postrider_Settings::on('POSTRIDER_WP_OFF');
    }

    /** Filter pre_http_request: answers what goes to Postmark by what the relay says. */
    public static function request($answer, $args, $url)
    {
        if ($answer !== false || strcasecmp((string) wp_parse_url($url, PHP_URL_HOST), self::HOST) !== 0 || !self::on()) {
            return $answer;
        }
        unset($args['reject_unsafe_urls']);
        return wp_remote_request(self::address($url), $args);
    }

    /** Filter wp_mail_smtp_providers_mailer_remote_request_url. */
    public static function address($url, $mailer = null)
    {
        if (!is_string($url) || strcasecmp((string) wp_parse_url($url, PHP_URL_HOST), self::HOST) !== 0 || !self::on()) {
            return $url;
        }
        $query = (string) wp_parse_url($url, PHP_URL_QUERY);
        return Postrider_Settings::url() . wp_parse_url($url, PHP_URL_PATH) . ($query === '' ? '' : '?' . $query);
    }

    /** Filter http_request_host_is_external: the relay may have a private address. */
    public static function external($is, $host)
    {
        return $is || self::on() && $host === wp_parse_url(Postrider_Settings::url(), PHP_URL_HOST);
    }

    /** Filter http_allowed_safe_ports. */
    public static function ports($ports, $host = '')
    {
        $port = wp_parse_url(Postrider_Settings::url(), PHP_URL_PORT);
        if (is_array($ports) && $port && self::on() && $host === wp_parse_url(Postrider_Settings::url(), PHP_URL_HOST)) {
            $ports[] = $port;
        }
        return $ports;
    }

    /** Filter http_request_args: the relay knows its own keys, not Postmark's. */
    public static function token($args, $url)
    {
        $key = Postrider_Settings::get('POSTRIDER_WP_KEY');
        if ($key === '' || !self::on() || strncmp((string) $url, Postrider_Settings::url() . '/', strlen(Postrider_Settings::url()) + 1) !== 0) {
            return $args;
        }
        foreach (isset($args['headers']) && is_array($args['headers']) ? array_keys($args['headers']) : [] as $name) {
            if (strcasecmp((string) $name, 'X-Postmark-Server-Token') === 0) {
                $args['headers'][$name] = $key;
            }
        }
        return $args;
    }
}

if (defined('WP_CLI') && WP_CLI) {
    /** Sends this site's mail through a Postrider relay. */
    class Postrider_Command
    {
        /**
         * Sends a message and says what came of it.
         *
         * ## OPTIONS
         *
         * <address>
         * : Whom to.
         */
        public function test($args, $options = [])
        {
            if (Postrider::active() === '') {
                WP_CLI::error(Postrider_Settings::mode() === '' ? 'Nothing is set up: set POSTRIDER_WP_URL or POSTRIDER_WP_HOST.' : 'Postrider stands down: the mail of this site is sent by ' . Postrider::other() . '.');
            }
            list($steps, $failure) = Postrider_Settings::mode() === 'http' ? Postrider_Health::overHTTP() : Postrider_Health::overSMTP();
            foreach ($steps as $step) {
                WP_CLI::line($step);
            }
            if ($failure !== null) {
                WP_CLI::error($failure->text());
            }
            $text = '';
            $heard = static function ($error) use (&$text): void {
                $text = $error->get_error_message();
            };
            add_action('wp_mail_failed', $heard);
            $ok = wp_mail($args[0], 'Test of ' . Postrider_Settings::siteHost(), "This message was sent by \"wp postrider test\".\n");
            remove_action('wp_mail_failed', $heard);
            if (!$ok) {
                WP_CLI::error($text);
            }
            $mailer = $GLOBALS['phpmailer'];
            $id = isset($mailer->postriderID) ? $mailer->postriderID : $mailer->getSMTPInstance()->getLastTransactionID();
            WP_CLI::success('The relay has the message' . ($id ? ': ' . $id : '') . '.');
        }

        /** Shows how the site is set up and how its mail fares. */
        public function status($args = [], $options = [])
        {
            $mode = Postrider_Settings::mode();
            WP_CLI::line('Mode: ' . ($mode === '' ? 'off' : $mode) . (Postrider::other() === '' ? '' : '; stands down for ' . Postrider::other()));
            if ($mode === '') {
                return;
            }
            list($steps, $failure) = $mode === 'http' ? Postrider_Health::overHTTP() : Postrider_Health::overSMTP();
            foreach ($steps as $step) {
                WP_CLI::line($step);
            }
            if ($failure !== null) {
                WP_CLI::error($failure->text());
            }
            if (Postrider_Settings::url() !== '') {
                foreach ([Postrider_Health::queue(), Postrider_Health::domain()] as $result) {
                    WP_CLI::line($result['label'] . '. ' . html_entity_decode(wp_strip_all_tags(str_replace('</p>', "</p>\n", $result['description'])), ENT_QUOTES));
                }
            }
        }

        /** Shows the last messages that could not be handed to the relay. */
        public function log($args = [], $options = [])
        {
            $list = Postrider_Log::all();
            if (!$list) {
                WP_CLI::line('Nothing failed.');
            }
            foreach ($list as $f) {
                WP_CLI::line(Postrider_Health::line($f));
            }
        }
    }
}

Postrider::start();
