-- What those who use imapfilter do with an account; each step is told in a line.
options.timeout = 60
options.starttls = true
options.certificates = false
options.expunge = true

local name = os.getenv("NAME")
local account = IMAP {
	server = "localhost", port = tonumber(os.getenv("PORT")),
	username = name, password = os.getenv("PASSWORD"),
}

local function tell(...)
	io.stdout:write(table.concat({ ... }, "\t"), "\n")
	io.stdout:flush()
end

local function save(folder)
	for _, m in ipairs(account[folder]:select_all()) do
		local box, uid = table.unpack(m)
		local file = assert(io.open(os.getenv("DIR") .. "/" .. folder .. "." .. uid, "w"))
		file:write(box[uid]:fetch_message())
		file:close()
	end
end

for _, time in ipairs({ "first", "second" }) do
	for _, folder in ipairs({ "INBOX", "Queued", "Deferred", "Sent" }) do
		save(folder)
	end
end

local inbox = account.INBOX
tell("subject", #inbox:contain_subject(os.getenv("WORD")))
tell("recipient", #inbox:contain_from(os.getenv("RECIPIENT")))
local found = inbox:contain_subject(os.getenv("WORD"))
tell("marked", tostring(found:mark_seen()))
tell("unread", #inbox:is_unseen())
tell("deleted", tostring(found:delete_messages()))
tell("moved", tostring(found:move_messages(account.Sent)))
tell("copied", tostring(found:copy_messages(account.Sent)))
tell("made", tostring(account:create_mailbox("Mine")))
tell("left", #inbox:select_all())

tell("waiting")
local woke, event = inbox:enter_idle()
tell("woke", tostring(woke), event)
tell("came", #inbox:contain_subject("Order came"))
