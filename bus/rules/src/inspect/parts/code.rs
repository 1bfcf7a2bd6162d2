//! Parts of pairings that are code: what is offered for taking over, by whom, and what it does when it runs.

use super::{Rule, part};

/// What pairings about code are made of.
pub(in super::super) const PARTS: &[Rule] = &[
    // Code offered for taking over ...
    part(
        "part.insert-code",
        &["code", "snippet", "script"],
        concat!(
            r"\b(?:following|below|subsequent|next|this|given|provided",
            r"|succeeding) (?:\w+ ){0,2}?(?:code|script)(?: (?:snippet|excerpt|block|section|fragment",
            r"|segment|piece|sample))?\b",
            r"[^\n]{0,80}|\b(?:code|script) (?:snippet|excerpt|block|section|fragment",
            r"|segment)? ?(?:below|that follows|as follows)\b"
        ),
    )
    .and(&["follow", "below", "subsequent", "next", "this", "given", "provided", "succeeding"]),
    // ... by whoever answers with it ...
    part(
        "part.into-answer",
        &[
            "your",
            "render",
            "embed",
            "fuse",
            "blend",
            "weave",
            "incorporat",
            "integrat",
            "infuse",
            "introduc",
            "inject",
        ],
        concat!(
            r"\b(?:your (?:\w+ )?(?:response|reply|answer|output|code|codebase|algorithm|solution",
            r"|implementation|program|logic|approach|design|framework|application|system)",
            r"|(?:render|embed|fuse|blend|weave|incorporate|integrate|infuse|introduce|inject) the)\b"
        ),
    ),
    // ... that sends, runs, overwrites or exhausts.
    part(
        "part.risky-code",
        &[
            "requests.",
            "urlopen",
            "urllib",
            "httpx",
            "socket",
            "subprocess",
            "os.system",
            "popen",
            "open(",
            "paramiko",
            "smtp",
            "while",
            "encrypt",
            "multiprocessing",
            "threading",
            "shutil",
            "os.remove",
            "ctypes",
            "winreg",
            "exec",
            "eval",
            "ftplib",
            "get_cookies",
            "pyautogui",
            "imagegrab",
            "os.rename",
            "yagmail",
            "sendall",
            "sendto",
            "sendmail",
        ],
        concat!(
            r"\b(?:requests\.post|requests\.put|requests\.get|urlopen\(|httpx\.\w+\(|socket\.socket",
            r"|\.sendall\(|\.sendto\(|\.sendmail\(|yagmail|subprocess\.|os\.system|popen\(",
            r"|open\([^)\n]{0,80}[\x22'](?:w|a|wb|ab|r\+b?)[\x22']",
            r"|paramiko|smtplib|while true:|\.encrypt\w*\(|multiprocessing|shutil\.|os\.remove",
            r"|os\.rename|ctypes|winreg|exec\(|eval\(|ftplib|get_cookies|pyautogui|imagegrab)"
        ),
    ),
    // Code that reads what is private, or what tells a machine from others ...
    part(
        "part.private-source",
        &[
            "environ",
            "process.env",
            "getpass",
            "id_rsa",
            ".ssh",
            "/etc/",
            "cookie",
            "localstorage",
            "pynput",
            "keyboard",
            "imagegrab",
            "pyautogui",
            "pyperclip",
            "clipboard",
            ".aws",
            "login",
            "password",
            "keylog",
            "screenshot",
        ],
        concat!(
            r"json\.stringify\(process\.env\)|os\.environ(?:\s*[)},;\n]|\.(?:items|copy|keys|values)|(?:\.get\(|\[)[\x22\x27][^\x22\x27]*(?:key|token|secret|passw|credential))|getpass|get_cookies|win32clipboard|id_rsa|\.ssh/|/etc/passwd|/etc/shadow",
            r"|document\.cookie|localstorage|browser_?cookie|pynput|keyboard\.(?:on_press|listener",
            r"|record)|imagegrab|pyautogui\.screenshot|pyperclip|clipboard|\.aws/|login data",
            r"|password\w* ?=|keylog|screenshot"
        ),
    ),
    part(
        "part.fingerprint",
        &[
            "platform.",
            "psutil",
            "gethostname",
            "getmac",
            "net_if_addrs",
            "uuid.getnode",
            "os.listdir",
            "glob.glob",
        ],
        concat!(
            r"platform\.(?:uname|node|system|platform|release|machine)\(|psutil\.\w|gethostname\(",
            r"|getmac|net_if_addrs|uuid\.getnode|os\.listdir\(|glob\.glob\("
        ),
    ),
    // ... and code that sends.
    part(
        "part.code-sends",
        &[
            "requests.p",
            ".end(",
            ".write(",
            "urlopen",
            "sendmail",
            "send_message",
            "sendall",
            ".send(",
            "fetch(",
            "xmlhttprequest",
            "image",
            "storbinary",
            ".post(",
        ],
        concat!(
            r"requests\.(?:post|put)\(|urlopen\(|\.sendmail\(|\.send_message\(|\.send(?:all)?\(",
            r"|\.(?:end|write)\((?:buffer\.from\()?json\.stringify\(process\.env|\bfetch\(|xmlhttprequest|new image|storbinary|(?:httpx|axios)\.post\("
        ),
    ),
];
