package dane

import "postrider/mx"

// Usable tells whether SMTP can use a record.
func Usable(r mx.TLSA) bool { return usable(r) }
