<?php
// What Symfony's and Laravel's mailers do with the transport "sendmail".
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';

use Symfony\Component\Mailer\Exception\TransportExceptionInterface;
use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Email;

$mailer = new Mailer(Transport::fromDsn('sendmail://default?command=' . rawurlencode('/usr/sbin/sendmail -bs -i')));
$email = (new Email())->from($argv[1])->to($argv[2])->subject('First mail')->text("Hello!\n");
try {
    $mailer->send($email);
    echo "sent\n";
} catch (TransportExceptionInterface $e) {
    echo $e->getMessage(), "\n";
    exit(1);
}
