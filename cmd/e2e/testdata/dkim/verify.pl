# Verifies every signature of the message on standard input with Mail::DKIM and
# prints a line with algorithm and result for each. Arguments: DNS host and port.
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;
use Net::DNS::Resolver;

my ($host, $port) = @ARGV;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [$host], port => $port, recurse => 1, debug => 0));
my $verifier = Mail::DKIM::Verifier->new();
binmode STDIN;
$verifier->load(\*STDIN);
for my $signature ($verifier->signatures) {
    print $signature->algorithm, ' ', $signature->result_detail, "\n";
}
