// What the tests let Thunderbird do, by its own interfaces as far as a person's
// hand would reach. Every call runs the whole file anew.

const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const window3pane = Services.wm.getMostRecentWindow("mail:3pane");

// until waits for a condition and returns its value.
async function until(what, condition) {
  for (const end = Date.now() + 90_000; Date.now() < end; ) {
    const value = await condition();
    if (value) {
      return value;
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain until ${what}`);
}

function account() {
  return MailServices.accounts.allServers.find(server => server.type == "imap");
}

function folderNamed(name) {
  return account().rootFolder.descendants.find(f => f.URI.endsWith("/" + name));
}

// logIn stores the password of the account, so that nobody is asked for it.
async function logIn(user, password) {
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  const origin = account().serverURI.replace(/[^/]*@/, "");
  login.init(origin, null, origin, user, password, "", "");
  await Services.logins.addLoginAsync(login);
}

// discover asks the server for its folders and returns their names.
async function discover(want) {
  const names = () => account().rootFolder.descendants.map(f => f.URI.split("/").slice(3).join("/")).sort();
  MailServices.imap.discoverAllFolders(account().rootFolder, null, null);
  await until("there are as many folders", () => names().length >= want);
  return names();
}

// headers is what a folder holds on this side.
function headers(folder) {
  return [...folder.messages].map(h => ({
    uid: h.messageKey,
    subject: h.mime2DecodedSubject,
    author: h.mime2DecodedAuthor,
    keywords: h.getStringProperty("keywords").trim().split(" "),
    read: h.isRead,
    starred: h.isFlagged,
    stored: (h.flags & Ci.nsMsgMessageFlags.Offline) != 0,
  }));
}

// started reports whether a folder let itself be asked for something.
function started(ask) {
  try {
    ask();
    return true;
  } catch (e) {
    if (e.result != 0x8055000a /* NS_MSG_FOLDER_BUSY */) {
      throw e;
    }
    return false;
  }
}

// loaded waits until a folder is as the server has it, flags and all.
function loaded(folder) {
  return new Promise(resolve => {
    const listener = {
      onFolderEvent(of, event) {
        if (of == folder && event == "FolderLoaded") {
          MailServices.mailSession.RemoveFolderListener(listener);
          resolve();
        }
      },
    };
    MailServices.mailSession.AddFolderListener(listener, Ci.nsIFolderListener.event);
  });
}

// sync opens a folder in the window and waits until all of its mail is stored.
async function sync(name, want) {
  const folder = folderNamed(name);
  const pane = window3pane.document.getElementById("tabmail").currentAbout3Pane;
  await until("the window is ready", () => pane.displayFolder);
  const opened = loaded(folder);
  pane.displayFolder(folder.URI);
  await opened;
  await until(`${name} has ${want} entries`, () => [...folder.messages].length >= want);
  await until(`${name} is not busy`, () => started(() => folder.downloadAllForOffline(null, null)));
  await until(`${name} is stored`, () => headers(folder).every(h => h.stored));
  await until("the list shows them", () => pane.gDBView?.rowCount == want);
  return headers(folder);
}

// arrival waits until a folder has got so many entries by itself.
async function arrival(name, want) {
  const folder = folderNamed(name);
  await until(`${name} has ${want} entries`, () => [...folder.messages].length >= want);
  return headers(folder);
}

// search lets the server search a folder and returns the UIDs that it found.
async function search(name, attribute, text) {
  const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
  session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folderNamed(name));
  const term = session.createTerm();
  const value = term.value;
  term.attrib = value.attrib = Ci.nsMsgSearchAttrib[attribute];
  value.str = text;
  term.value = value;
  term.op = Ci.nsMsgSearchOp.Contains;
  session.appendTerm(term);
  const found = [];
  await new Promise((resolve, reject) => {
    session.registerListener({
      onNewSearch() {},
      onSearchHit: header => found.push(header.messageKey),
      onSearchDone: status => (Components.isSuccessCode(status) ? resolve() : reject(new Error(`status ${status}`))),
    }, Ci.nsIMsgSearchSession.allNotifications);
    session.search(null);
  });
  return found;
}

// look selects an entry in the list of the folder that is open, as a click does,
// and returns what the message pane shows of it.
async function look(name, uid) {
  const pane = window3pane.document.getElementById("tabmail").currentAbout3Pane;
  const header = folderNamed(name).GetMessageHeader(uid);
  pane.threadTree.selectedIndex = pane.gDBView.findIndexOfMsgHdr(header, true);
  await until("it is read", () => header.isRead);
  const message = pane.messageBrowser.contentWindow;
  await until("it is shown", () => message.gMessage == header && message.msgLoaded);
  const body = message.getMessagePaneBrowser().contentDocument.body.textContent;
  return { body, tags: [...message.document.querySelectorAll("#expandedtagsBox .tag")].map(tag => tag.textContent) };
}

// known waits until a folder that nobody touches shows that an entry was read.
async function known(name, uid) {
  const header = folderNamed(name).GetMessageHeader(uid);
  await until(`${name} shows that it was read`, () => header.isRead);
}

// arrange makes the window fit for a picture.
async function arrange() {
  const pane = window3pane.document.getElementById("tabmail").currentAbout3Pane;
  window3pane.resizeTo(1400, 800);
  window3pane.document.getElementById("status-bar").collapsed = true;
  pane.document.getElementById("folderPaneSplitter").width = 210;
  pane.document.getElementById("messagePaneSplitter").width = 650;
}

// browse opens a page in a tab, with the cookies of somebody who is logged in there.
async function browse(url, cookies) {
  const day = 86_400_000;
  for (const { Name, Value } of cookies) {
    Services.cookies.add(new URL(url).hostname, "/", Name, Value, false, true, true, Date.now() + day, {},
      Ci.nsICookie.SAMESITE_UNSET, Ci.nsICookie.SCHEME_HTTP);
  }
  window3pane.resizeTo(1400, 840);
  const tab = window3pane.document.getElementById("tabmail").openTab("contentTab", { url });
  await until("the page is loaded", () => tab.browser.currentURI.schemeIs("http") && !tab.browser.webProgress.isLoadingDocument);
}

// page is what the tab that is open shows, as a PNG in base64.
async function page() {
  const { browser } = window3pane.document.getElementById("tabmail").currentTabInfo;
  const shot = await browser.browsingContext.currentWindowGlobal.drawSnapshot(null, 1, "white");
  const canvas = window3pane.document.createElementNS("http://www.w3.org/1999/xhtml", "canvas");
  canvas.width = shot.width;
  canvas.height = shot.height;
  canvas.getContext("2d").drawImage(shot, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}
