import json
import os
import sys
import urllib.error
import urllib.request

mail = {"from": sys.argv[1], "to": [sys.argv[2]], "subject": "First mail", "text": "Hello!\n"}
request = urllib.request.Request(os.environ.get("MAIL_URL", "http://127.0.0.1:8025") + "/v1/messages", json.dumps(mail).encode(),
                                 {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["MAIL_KEY"]})
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.status, json.load(answer)["id"])
except urllib.error.HTTPError as e:
    problem = json.load(e)
    print(e.code, problem["code"] + ":", problem["detail"])
    sys.exit(1)
