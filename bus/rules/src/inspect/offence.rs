//! Weapons by what they do: a text that offers, orders or describes an attack as its own purpose, and the commands and
//! code that take credentials, hide traces or lock others out. Whoever only speaks about such things is told from it
//! by the order of words: an order or an offer begins with its verb.

use super::rules::{Mention, Role, Rule};
use super::{Kind, Severity};

const fn rule(
    id: &'static str,
    kind: Kind,
    severity: Severity,
    literals: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    let role = Role::Alert(severity);
    Rule { id, kind, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const fn offence(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    rule(id, Kind::ToolPoisoning, Severity::High, literals, pattern)
}

const fn theft(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    rule(id, Kind::Exfiltration, Severity::High, literals, pattern)
}

/// Where an order or an offer begins.
macro_rules! begins {
    () => {
        concat!(
            r"(?:\A|[.!?:;\n\t\]>\x22'`(-]\s*|\d\)\s*",
            r"|\b(?:and|then|or|please|must|now|will|should|tool (?:to|that)|used to|able to",
            r"|designed (?:to|for)) )"
        )
    };
}

/// The family of offensive purposes, thefts and cover-ups.
pub(super) const RULES: &[Rule] = &[
    offence(
        "offence.exploit",
        &["exploit", "abuse", "weaponi", "escalat", "leverag"],
        concat!(
            begins!(),
            r"(?:(?:exploit|abuse|weaponi[sz]e)s? (?:\S+ ){0,5}?(?:\S*vulnerabilit\w+",
            r"|cve-\d+|privilege escalation",
            r"|privileges?|for (?:root|admin|system|privilege|code execution)|delegation|ntlm|suid",
            r"|capabilities|helper|service)",
            r"|leverages? (?:\S+ ){0,5}?(?:\S*vulnerabilit\w+|cve-\d+|privilege escalation|ntlm|suid)",
            r"|escalates? (?:\S+ ){0,3}?privileges?)\b"
        ),
    ),
    offence(
        "offence.steal",
        &[
            "dump",
            "steal",
            "grab",
            "harvest",
            "crack",
            "exfiltrat",
            "stolen",
            "theft",
            "extract",
            "phish",
            "spoof",
        ],
        concat!(
            begins!(),
            r"(?:(?:steal|harvest|exfiltrate)(?:s|ing)? (?:\S+ ){0,5}?(?:data(?:base)?|memory",
            r"|information|files|history|e?mails)",
            r"|(?:dump|steal|harvest|crack|exfiltrate|grab)(?:s|ing)? (?:\S+ ){0,5}?(?:credential\w*",
            r"|passwords?|hash(?:es)?",
            r"|\w*tokens?|cookies|(?:private |ssh |api |encryption )keys?|keychain|lsass|ntds\S*|sam",
            r"|secrets?)",
            r"|extract(?:s|ing)? (?:\S+ ){0,4}?(?:credential\w*|passwords?|password hashes",
            r"|private keys)",
            r"|(?:creates?|builds?|sends?|launch(?:es)?) (?:\S+ ){0,3}?phishing)\b"
        ),
    ),
    offence(
        "offence.evade",
        &["bypass", "evade", "disable", "circumvent", "unhook", "tamper"],
        concat!(
            begins!(),
            r"(?:bypass|evade|circumvent|disable|unhook|tamper with)(?:e?s)? (?:\S+ ){0,3}?(?:uac",
            r"|amsi|edr|etw|antivirus|anti-virus",
            r"|(?:windows )?defender|aslr|selinux|apparmor|gatekeeper|applocker|2fa|mfa",
            r"|safety (?:checks?|filters?|controls?)",
            r"|upload restrictions|(?:audit|security) log\w*|security (?:controls?|hooks?",
            r"|restrictions?|software|monitoring|products?)",
            r"|approvals?|(?:intrusion )?detection|host firewall)\b"
        ),
    ),
    offence(
        "offence.implant",
        &[
            "backdoor",
            "rootkit",
            "keylog",
            "shell",
            "shellcode",
            "ransomware",
            "malware",
            "botnet",
            "trojan",
            "malicious",
            "crypto",
            "bomb",
            "hijack",
            "hollowing",
        ],
        concat!(
            begins!(),
            r"(?:(?:install|create|deploy|plant|inject|spawn|open|establish|add|drop|upload|write",
            r"|build|generate|launch|run|execute",
            r"|embed|overwrite|spread|register|extract|start)(?:e?s)? (?:\S+ ){0,5}?(?:backdoor",
            r"|rootkit|keylogger|reverse(?: |-)shell|bind(?: |-)shell",
            r"|shellcode|ransomware|malware|botnet|trojan|web ?shell|crypto ?miner|fork bomb",
            r"|malicious)\w*",
            r"|(?:hijack|backdoor)s? (?:\S+ ){0,3}?(?:session|path|account|dll|process|token|module",
            r"|object|librar|dns|authentication|binar|search|connection|user|traffic)\w*)"
        ),
    ),
    offence(
        "offence.force",
        &["brut", "spray", "stuff", "spoof", "sniff", "poison", "denial", "ddos", "man-in-the-middle"],
        concat!(
            begins!(),
            r"(?:brute(?: |-)?forc(?:e|es|ing)|password(?: |-)spray\w*|credential(?: |-)stuff\w*|spoof(?:s",
            r"|ing)? (?:\S+ ){0,2}?(?:arp|dns|mac|ip|caller)",
            r"|(?:arp|dns|cache|llmnr) (?:spoof|poison)\w*|sniff(?:s|ing)? (?:\S+ ){0,3}?(?:traffic",
            r"|packets|credentials|passwords)",
            r"|(?:perform|launch|execute)s? (?:\S+ ){0,3}?(?:denial(?: |-)of(?: |-)service|ddos",
            r"|man-in-the-middle))\b"
        ),
    ),
    rule(
        "offence.named",
        Kind::ToolPoisoning,
        Severity::Medium,
        &[
            "exploit",
            "escalation",
            "shell",
            "escape",
            "escaping",
            "dll",
            "hollowing",
            "theft",
            "backdoor",
            "ransomware",
            "rootkit",
            "keylogger",
            "injection",
            "deserialization",
            "shellcode",
            "hijack",
            "man-in-the-middle",
            "phishing",
            "exfiltrat",
            "malware",
            "stealth",
            "attacker",
            "brute",
            "exhaustion",
            "hacker",
            "traversal",
            "stolen",
            "unauthorized",
            "privesc",
            "timestomp",
            "cracking",
            "bypass",
            "confusion",
            "race",
            "uac",
        ],
        concat!(
            r"\b(?:privilege(?: |-)escalation|reverse(?: |-)shell|ransomware|rootkit|keylogger|shellcode\w*",
            r"|sandbox escape",
            r"|(?:\w+ )injection (?:attack|for|in|on|against|via|payload)|deserialization (?:attack",
            r"|exploit)|dll (?:hijack|inject)\w*",
            r"|(?:com|object|thread|session|fiber|account|browser|token|clipboard|search(?: ",
            r"|-)order) hijack\w*",
            r"|hijack(?:s|ing)? (?:an? |the )?(?:existing )?(?:thread|session|process|account|token",
            r"|clipboard)s?",
            r"|escap(?:e|es|ing) (?:from )?(?:the |an? )?(?:\w+ )?(?:containers?|virtual machines?|vms?",
            r"|hypervisor|sandbox|jail)",
            r"|(?:container|vm|jail|virtual machine) escape|timestomp\w*",
            r"|(?:ldap|xxe|xpath|ognl|crlf) injection|code injection technique",
            r"|for (?:potential )?exploitation|(?:via|local|remote|root|kernel|writable) exploits?",
            r"|exploits? (?:\S+ ){0,4}?(?:esc\d+|cve-\d+|suid|socket|root|world-writable|misconfigurations?)",
            r"|(?:handshakes?|hashes|tickets?) for (?:offline )?cracking|(?:key confusion",
            r"|race condition) attacks?",
            r"|bypass(?:es|ing)? (?:the )?(?:security (?:hooks?|software|controls?|products?)|authentication",
            r"|uac|edr|antivirus|amsi)",
            r"|process hollowing|man-in-the-middle|session hijack\w*|phishing (?:page|domain|e?mail",
            r"|site|with)|exfiltrat\w+",
            r"|(?:resource|process|memory|cpu|bandwidth|descriptor)(?: |-)exhaustion (?:attack|service)?",
            r"|attacker(?: |-)controlled|to (?:the )?attacker",
            r"|hacker|stolen (?:data|files|credentials)|data theft|unauthorized access",
            r"|path(?: |-)traversal|privesc|brute(?: |-)?forc\w+",
            r"|exploits? (?:\S+ ){0,4}?vulnerabilit\w+)\b"
        ),
    ),
    theft(
        "theft.credential-tool",
        &[
            "mimikatz",
            "sekurlsa",
            "lsadump",
            "lazagne",
            "nanodump",
            "secretsdump",
            "procdump",
            "minidump",
            "pwdump",
            "hashdump",
            "dcsync",
            "rubeus",
            "kerberoast",
            "dumpert",
            "gsecdump",
            "lsass",
            "ntds.dit",
            "ntdsutil",
            "vaultcmd",
            "dump-keychain",
            "find-generic-password",
            "firepwd",
            "xordump",
            "exfiltrator",
            "cmdkey",
        ],
        concat!(
            r"\b(?:mimikatz|sekurlsa|lsadump|lazagne|nanodump|secretsdump|pwdump|hashdump|dcsync",
            r"|rubeus|invoke-kerberoast|\S*dumpert|gsecdump|firepwd|xordump",
            r"|procdump\S*[^\n]*lsass|comsvcs[^\n]*minidump|minidump[^\n]*lsass|lsass\S*\.(?:dmp|exe)",
            r"|ntds\.dit|ntdsutil[^\n]*\bifm\b|vaultcmd[^\n]*/list|cmdkey\S* /list",
            r"|security dump-keychain|security find-generic-password|invoke-\w*exfiltrator)\b"
        ),
    ),
    theft(
        "theft.registry-hives",
        &["hklm", "volumeshadowcopy", "hkey_local_machine"],
        concat!(
            r"\breg(?:\.exe)? (?:save|export) \S*(?:hklm|hkey_local_machine)\\\\?(?:sam|security",
            r"|system)\b",
            r"|volumeshadowcopy[^\n]*(?:\\sam|\\security|\\system32\\config|ntds)"
        ),
    ),
    theft(
        "theft.browser-store",
        &[
            "cookies",
            "login",
            "logins.json",
            "key4.db",
            "cookies.sqlite",
            "cookies.binarycookies",
            "places.sqlite",
            "remote-debugging-port",
            "[cookies]",
            "moz_cookies",
        ],
        concat!(
            r"\b(?:chrome|chromium|edge|brave|opera|google|default|profile\w*|firefox|mozilla|safari",
            r"|user data)\b[^\n]{0,120}(?:login data|logins\.json|key4\.db|cookies\.sqlite",
            r"|cookies\.binarycookies|places\.sqlite)",
            r"|(?:login data|logins\.json|key4\.db|cookies\.sqlite)[^\n]*(?:-destination|copy|select",
            r"|> )",
            r"|encrypted_value[^\n]*cookies|from \[?(?:moz_)?cookies\]?"
        ),
    ),
    theft(
        "theft.secret-read",
        &["/etc/shadow", "id_rsa", "id_ed25519", ".aws/credentials", "master.passwd", "etc/{shadow"],
        concat!(
            r"(?:\b(?:cat|less|more|head|tail|cp|mv|tac|nl|xxd|strings|base64|tar|zip|gzip|openssl|gpg",
            r"|awk|sed|ed|find|grep|type|copy|get-content|printf|echo|dd|testcat|read|open)\b[^\n;]{0,120}",
            // The key that a connection is made with is read by nobody else.
            r"|\bscp(?: (?:-i ?\S+|-[^i\s]\S*|[^\s;-]\S*)){0,8}? (?:[^\s;-]\S*)?)(?:/etc/shadow|/etc/\{shadow|master\.passwd|\bid_(?:rsa",
            r"|ed25519)\b(?:[^.\w]|\z)|\.aws/credentials)"
        ),
    ),
    theft(
        "theft.search-secrets",
        &["findstr", "grep", "dir", "find"],
        concat!(
            r"\bfindstr(?:\.exe)? [^\n]*(?:/s|/si|/e)[^\n]*(?:passw|secret|\.key|\.pem|credential)",
            r"|\bgrep (?:-\S+ )*-?\w*[ri]\w* [^\n]{0,40}(?:passw|secret|api_?key",
            r"|credential)[^\n]{0,40} (?:/(?:home|etc|root|var|opt|usr)?|~)",
            r"|\bdir [^\n]*/s[^\n]*(?:\.key|\.pem|passw|\.kdbx)",
            r"|\bfind (?:/|~|/home|\$home)\S* [^\n]*-name [^\n]{0,10}(?:id_rsa|\.pem|\.key|\.kdbx",
            r"|wallet|passw|\.env|credential)"
        ),
    )
    .and(&["passw", "secret", "key", "pem", "credential", "id_rsa", ".env", "wallet", "kdbx"]),
    theft(
        "theft.post-body",
        &[
            "invoke-webrequest",
            "invoke-restmethod",
            "iwr",
            "irm",
            "uploadstring",
            "uploadfile",
            "uploaddata",
            "--post-data",
            "send-mailmessage",
        ],
        concat!(
            r"\b(?:invoke-webrequest|invoke-restmethod|iwr|irm)\b[^\n]*-method \S?(?:post|put)\b",
            r"|\.upload(?:string|file|data)\(|\bwget [^\n;|]*--post-data",
            r"|\bsend-mailmessage [^\n]*-attach"
        ),
    ),
    theft(
        "theft.drop-host",
        &[
            "pastebin.com/api",
            "api/webhooks/",
            "api.telegram.org/bot",
            "webhook.site",
            "requestbin",
            "burpcollaborator",
            "oastify",
            "interact.sh",
            "transfer.sh",
            "pipedream.net",
            "dnslog",
            "ngrok",
        ],
        concat!(
            r"\b(?:post|send|upload|forward|exfil\w*|curl|wget|transmit|leak|put|report",
            r"|fetch)\b[^\n]{0,160}(?:pastebin\.com/api|discord(?:app)?\.com/api/webhooks/",
            r"|api\.telegram\.org/bot|webhook\.site|requestbin|burpcollaborator|oastify|interact\.sh",
            r"|transfer\.sh|pipedream\.net|dnslog|\.ngrok\.)"
        ),
    ),
    rule(
        "theft.metadata-service",
        Kind::Exfiltration,
        Severity::Medium,
        &["169.254.169.254", "metadata.google.internal"],
        concat!(
            r"(?:169\.254\.169\.254|metadata\.google\.internal)/\S*(?:iam|security-credentials|token",
            r"|user-data)"
        ),
    ),
    theft(
        "theft.mail-rule",
        &["mailbox-forward", "inboxrule", "forwardto", "forwardingsmtpaddress", "redirectto", "-mailbox"],
        r"\b(?:new|set)-(?:inboxrule|mailbox)\b[^\n]*-(?:forward|redirect)\w*",
    ),
    offence(
        "cover.history",
        &["history", "historyhandler"],
        concat!(
            r"(?:\A|[\n;&|`\x22']\s*)history -[cw]\b|\bset \+o history\b",
            r"|-historysavestyle savenothing|-addtohistoryhandler",
            r"|\bclear-history\b|\(get-psreadlineoption\)\.historysavepath"
        ),
    ),
    offence(
        "cover.logs",
        &["truncate", "/var/log", "prefetch", "journalctl", "-json.log", "syslog"],
        concat!(
            r"(?:(?:(?:\A|[\n;&|`])\s*(?:sudo )?|\becho \S{0,3} ?|/dev/null |\btrue )>|\b(?:rm",
            r"|truncate|shred|unlink|dd)\b[^\n;|]*)\s*(?:of=)?/var/log/|\btruncate -s 0 [^\n;",
            r"|]*(?:log|containers)",
            r"|\bjournalctl [^\n]*--vacuum-(?:time=\d+s|size=\d+[kb]?\b|files=[01]\b)|(?:remove-item|del)\b[^\n]*prefetch|\b(?:systemctl",
            r"|service) (?:stop|disable|mask) r?syslog"
        ),
    ),
    offence(
        "cover.defences",
        &[
            "setenforce",
            "iptables",
            "ufw",
            "advfirewall",
            "windefend",
            "firewalld",
            "csrutil",
            "spctl",
            "chattr",
            "uninstall",
        ],
        concat!(
            r"\bsetenforce 0\b|\biptables -F\b|\bufw disable\b|\bnetsh advfirewall set [^\n]*off\b",
            r"|\bsc(?:\.exe)? (?:stop|delete|config) windefend",
            r"|\b(?:systemctl|service) (?:stop|disable|mask) firewalld|\bcsrutil disable",
            r"|\bspctl --master-disable|\bchattr -i [^\n]*(?:cron|/etc/|/var/)"
        ),
    ),
    offence(
        "cover.account",
        &["/add", "usermod", "nopasswd", "authorized_keys", "superadmin", "insert"],
        concat!(
            r"\bnet(?:\.exe)? (?:user|localgroup administrators) [^\n;|]*/add\b|\busermod -aG (?:sudo",
            r"|wheel|root|docker) \S",
            r"|all\) ?nopasswd: ?all[^\n]*/etc/sudoers|>> ?\S*authorized_keys|insert into \w*(?:admin",
            r"|user)\w* [^\n]*(?:superadmin|'admin'|'root')"
        ),
    ),
    offence(
        "destroy.disk",
        &[
            "wipefs",
            "blkdiscard",
            "sgdisk",
            "diskpart",
            "format-volume",
            "clear-disk",
            "erasedisk",
            "security-erase",
            "sdelete",
            "cipher",
            "shred",
            "mklabel",
        ],
        concat!(
            r"\bwipefs (?:-\w+ )*-\w*a|\bblkdiscard /dev|\bsgdisk (?:-Z|--zap)",
            r"|\bdiskpart\b[^\n]*clean|\bformat-volume -|\bclear-disk -|\bdiskutil erasedisk",
            r"|--security-erase|\bsdelete(?:64)?(?:\.exe)?\S? -|\bcipher(?:\.exe)? /w:",
            r"|\bshred (?:-\S+ )*(?:/|~|\*)|\bmklabel (?:gpt|msdos)"
        ),
    ),
    offence(
        "destroy.database",
        &["delete", "truncate", "drop", "dropdatabase", "flushall", "dropdb"],
        concat!(
            r"\bdelete from [\w.`\x22\[\]]+\s*(?:;|\z|where\s+(?:1\s*=\s*1|true)\b)",
            r"|\btruncate table \w|\bdrop (?:database|schema) (?:if exists )?\w",
            r"|\.dropdatabase\(\)|\bredis-cli [^\n]*flushall|(?:\A|\n)\s*dropdb "
        ),
    ),
    rule(
        "destroy.rows",
        Kind::ToolPoisoning,
        Severity::Medium,
        &["delete", "update", "alter", "remove", "erase", "wipe"],
        concat!(
            r"\bdelete from \w|\balter table \S+ drop |\bupdate \w+ set \w*(?:password|hash|role",
            r"|admin)\w*\s*=",
            r"|\b(?:remove|delete|erase|wipe) (?:all|every)(?: the)? (?:\S+ ){0,2}?(?:records?|rows",
            r"|users|data|tables?|backups?|logs?|files|e?mails)\b"
        ),
    ),
    offence(
        "destroy.fleet",
        &["kubectl", "terraform", "aws", "kill", "docker"],
        concat!(
            r"\bkubectl delete (?:ns|namespaces?|all|pv|nodes?) [^\n]*--all\b",
            r"|\bterraform destroy [^\n]*-auto-approve|\baws s3 rb [^\n]*--force",
            r"|\bkill -(?:9|kill) -1\b|\bdocker (?:rm|rmi|stop|kill) [^\n]*\$\(docker"
        ),
    ),
    offence(
        "destroy.code",
        &[
            "ransom",
            "os.remove",
            "os.unlink",
            "rmtree",
            "os.fork",
            "fernet",
            "os.walk",
            "writeallbytes",
            "cipher",
        ],
        concat!(
            r"while true:(?s:.{0,160})os\.fork\(|os\.walk\([^)]*\)(?s:.{0,400})(?:os\.(?:remove",
            r"|unlink)\(|encrypt\(|shutil\.rmtree\()",
            r"|fernet(?s:.{0,800})(?:os\.walk|glob)|readme\.txt(?s:.{0,200})ransom"
        ),
    ),
    offence(
        "destroy.lock-files",
        &["openssl", "gpg"],
        concat!(
            r"(?:\b(?:openssl (?:enc|rsautl|\S*)|gpg\S*)|\$which_(?:openssl|gpg)\w*) [^\n]*(?:-encrypt|-c|-e",
            r"|enc )[^\n]*(?:/etc/|/home|~/|/var/)"
        ),
    ),
    theft(
        "theft.key-logger",
        &["pynput", "keyboard.", "pyxhook", "setwindowshookex", "getasynckeystate", "keylog"],
        concat!(
            r"\bpynput\b[^\n]*\b(?:keyboard|mouse|listener)\b|\bkeyboard\.(?:on_press|on_release|hook",
            r"|record|listener)\(|\bpyxhook\b|\bsetwindowshookex|\bgetasynckeystate|\bkeylog\w* ?[=(]"
        ),
    ),
    theft(
        "theft.wire-tap",
        &["sniff(", "af_packet", "sio_rcvall", "pyshark", "livecapture"],
        concat!(
            r"\bsniff\([^)\n]*(?:prn|iface|filter|store|count)|\baf_packet\b|\bsio_rcvall\b",
            r"|\blivecapture\("
        ),
    ),
    offence(
        "destroy.by-code",
        &[
            "mkfs",
            "os.system",
            "popen",
            "subprocess",
            "exec.command",
            "child_process",
            "execsync",
            "shell_exec",
            "processbuilder",
            "getruntime",
            "exec(",
            "system(",
        ],
        concat!(
            r"(?:os\.system|popen|subprocess\.(?:run|call|popen|check_\w+)|exec\.command|execsync",
            r"|exec|shell_exec|system|\.exec|processbuilder)\(\[?[frb]?[\x22'`][^\n)]{0,60}?",
            r"(?:\bshutdown\b|\breboot\b|\bpoweroff\b|\bhalt\b|\bmkfs|\bformat [a-z]:|\bdel /",
            r"|\btaskkill\b|\bpkill\b|\bkillall\b|\biptables\b|\brm[\x22',\x20]+-\w*[rf]|\bdd if=",
            r"|\binsmod\b|\bcrontab\b|\bsystemctl[\x22',\x20]+(?:stop|disable)|\buseradd\b|\bpasswd\b",
            r"|/etc/shadow|\bnc -|/dev/tcp/)"
        ),
    ),
    offence(
        "destroy.ransom",
        &["btc", "ransom", "bitcoin", "aes.new", "fernet", "decrypt", "encrypt", "locked"],
        concat!(
            r"(?:aes\.new\(|fernet\(|\.encrypt\()(?s:.{0,800})(?:os\.walk|os\.listdir|glob\.|rglob",
            r"|os\.remove)|(?:os\.walk|os\.listdir|glob\.|rglob)(?s:.{0,800})(?:aes\.new\(|fernet\(",
            r"|\.encrypt\()",
            r"|\byour (?:files|data|documents) (?:have been|are|were) (?:\w+ )?(?:encrypted|locked)\b",
            r"|\b(?:pay|send) [^.\n]{0,60}(?:bitcoin|btc|ransom)\b"
        ),
    )
    .and(&["walk", "listdir", "glob", "your", "pay", "send", "remove"]),
    theft("theft.exfiltrate", &["exfiltrat"], concat!(begins!(), r"exfiltrat(?:es?|ing) (?:\w+|\S+ \w+)")),
];
