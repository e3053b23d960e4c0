<?php
// As much of WP-CLI as a command needs: it is in neither Debian nor any registry
// that tests may ask. Commands are called, and what they print, as by WP-CLI 2.
class WP_CLI
{
    private static $commands = [];
    private static $said = [];

    public static function add_command($name, $class, $args = [])
    {
        self::$commands[$name] = new $class();
    }

    public static function line($text = '')
    {
        self::$said[] = $text;
    }

    public static function success($text)
    {
        self::$said[] = 'Success: ' . $text;
    }

    public static function error($text, $exit = true)
    {
        self::$said[] = 'Error: ' . $text;
        if ($exit) {
            throw new WP_CLI_Exit();
        }
    }

    public static function run($subcommand, $args)
    {
        self::$said = [];
        try {
            self::$commands['postrider']->$subcommand($args, []);
        } catch (WP_CLI_Exit $e) {
        }
        return implode("\n", self::$said);
    }
}

class WP_CLI_Exit extends Exception
{
}
