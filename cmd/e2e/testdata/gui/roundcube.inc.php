<?php
// Roundcube as Debian packages it, except for what it must be told.
$dir = getenv('ROUNDCUBE_CONFIG_DIR');
$config['imap_host'] = getenv('POSTRIDER_IMAP');
$config['db_dsnw'] = "sqlite:///$dir/roundcube.sqlite?mode=0600";
$config['log_dir'] = $dir;
$config['temp_dir'] = $dir;
$config['des_key'] = 'a key of the tests, 24 !!';
$config['mail_domain'] = 'juniper-tea.example';
$config['timezone'] = 'UTC';
$config['plugins'] = [];
if (getenv('ROUNDCUBE_CACHES')) {
    $config['imap_cache'] = 'db';
    $config['messages_cache'] = 'db';
}
