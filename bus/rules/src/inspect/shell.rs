//! Commands that destroy, take over or carry off. Commands whose danger lies in their arguments are found here and
//! weighed in `command`.

use super::rules::{Judge, Mention, Role, Rule};
use super::{Kind, Severity, command, scan};

const fn high(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    let role = Role::Alert(Severity::High);
    Rule { id, kind: Kind::ToolPoisoning, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const fn medium(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    let role = Role::Alert(Severity::Medium);
    Rule { id, kind: Kind::ToolPoisoning, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const fn judged(
    id: &'static str,
    judge: Judge,
    literals: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    let role = Role::Judged(judge);
    Rule { id, kind: Kind::ToolPoisoning, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const FETCHERS: &[&str] = &["curl", "wget", "iwr", "irm", "invoke-", "downloadstring"];

/// The family of command rules.
pub(super) const RULES: &[Rule] = &[
    judged(
        "poison.remove-tree",
        command::remove,
        &["rm -", "rm ", "rm  ", "rm /", "rm ~", "rm *", "rm \\", "rm\"", "rm'", "rm,"],
        r"\brm(?:[\s,\x22']|\z)",
    ),
    judged("poison.upload", command::curl, &["curl"], r"\bcurl(?:\.exe)?[\s,\x22']"),
    judged("poison.open-permissions", command::chmod, &["chmod"], r"\bchmod[\s,\x22']"),
    Rule {
        id: scan::FETCH,
        kind: Kind::ToolPoisoning,
        role: Role::Fetch,
        mention: Mention::Counts,
        literals: &["curl", "wget"],
        also: &[],
        pattern: r"\b(?:curl|wget)(?:\.exe)?\s+(?:-\S+\s+)*\S{0,3}(?:https?://|(?:[a-z0-9-]+\.)+[a-z]{2,}\b)",
    },
    high(
        "poison.pipe-to-shell",
        FETCHERS,
        concat!(
            r"\b(?:curl|wget|iwr|irm|invoke-webrequest|invoke-restmethod)(?:\.exe)?\s[^\n|]*(?:://",
            r"|[\w-]\.[a-z]{2,}\b|\$)[^\n]*\|\s*(?:sudo\s+(?:-\S+\s+)*",
            r"|env\s+(?:\S+=\S*\s+)*)*(?:[\w./-]*/)?(?:(?:ba|z|da|k|a|c|fi)?sh\b|iex\b",
            r"|invoke-expression\b|(?:pwsh|powershell|python[\d.]*|perl|ruby|node",
            r"|php)(?:\.exe)?\s*(?:-\s*)?(?:\z|[\n;&|)\x22'`]))"
        ),
    )
    .and(&["|"]),
    high(
        "poison.run-fetched",
        FETCHERS,
        concat!(
            r"(?:\b(?:(?:ba|z|da|k)?sh|source|python[\d.]*)|\s\.)\s+(?:-\S+\s+)*<\(\s*(?:curl|wget)\b",
            r"|\b(?:(?:ba|z|da|k)?sh\s+(?:-\w+\s+)+|eval\s+|source\s+)\\?[\x22']?(?:\$\(|`)\s*(?:curl",
            r"|wget)\b|\b(?:iex|invoke-expression)\b[^\n]*\b(?:iwr|irm|downloadstring",
            r"|invoke-webrequest|invoke-restmethod)\b|downloadstring\([^\n]*\|\s*iex\b"
        ),
    )
    .and(&["<(", "$(", "`", "iex", "invoke-expression"]),
    high(
        "poison.fork-bomb",
        &["&"],
        concat!(
            r":\s*\(\s*\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:",
            r"|\b\w+\s*\(\s*\)\s*\{\s*\w+\s*\|\s*\w+\s*&\s*\}\s*;\s*\w"
        ),
    )
    .and(&["|"]),
    high("poison.format", &["mkfs"], r"\bmkfs(?:\.[a-z0-9]+)?\s[^\n;|&]*/dev/[a-z]"),
    high(
        "poison.format-windows",
        &["format"],
        r"(?:\A|[\n;&|`\x22'])\s*format(?:\.com)?\s+[a-z]:(?:\s|\z|/)",
    ),
    high(
        "poison.overwrite-device",
        &["of="],
        r"\bdd[\s,\x22\x27][^\n;|&]*\bof=.?/dev/(?:sd|hd|nvme|vd|xvd|mmcblk|disk|rdisk|mapper|md)",
    )
    .and(&["/dev/"]),
    high(
        "poison.redirect-device",
        &["/dev/"],
        concat!(
            r"(?:>\s*|\b(?:tee|cp|shred|wipefs|blkdiscard)\s[^\n;|&]*\s)/dev/(?:sd[a-z]|hd[a-z]",
            r"|nvme\d|vd[a-z]|xvd|mmcblk|disk\d|mem\b|kmem)"
        ),
    ),
    high(
        "poison.find-delete",
        &["-delete", "-exec"],
        concat!(
            r"\bfind\s+(?:/|~/?|\$HOME/?|/(?:etc|usr|home|var|root|boot)/?)\s[^\n;|]*-(?:delete\b",
            r"|exec(?:dir)?\s+(?:rm|shred)\b)"
        ),
    ),
    high("poison.set-owner-bit", &["chmod"], r"\bchmod\s+(?:-\S+\s+)*(?:[ug]+\+s|[246][0-7]{3})\s+/"),
    high(
        "poison.wipe-windows",
        &["remove-item", "/s"],
        concat!(
            r"\bremove-item\b[^\n;|]*[a-z]:\\(?:\s|\z|\*|windows|users|program)[^\n]*|\b(?:del|erase",
            r"|rd|rmdir)\s[^\n;|]*/s\b[^\n;|]*(?:[a-z]:\\|%\w+%)"
        ),
    )
    .and(&[":\\", "%"]),
    high(
        "poison.destroy-recovery",
        &["vssadmin", "wbadmin", "bcdedit", "wevtutil", "clear-eventlog", "win32_shadowcopy"],
        concat!(
            r"\bvssadmin(?:\.exe)?\s+delete\b|\bwbadmin(?:\.exe)?\s+delete\b",
            r"|\bbcdedit(?:\.exe)?\s+/set\b[^\n]*(?:recoveryenabled|ignoreallfailures)",
            r"|\bwevtutil(?:\.exe)?\s+(?:cl|clear-log|sl)\b|\bclear-eventlog\b",
            r"|win32_shadowcopy[^\n]*delete"
        ),
    ),
    high(
        "poison.erase-history",
        &["_history", "histfile"],
        concat!(
            r"(?:\b(?:rm|truncate|shred|ln|unlink)\s[^\n]*|>\s*)[~\w/$]*\.(?:bash|zsh|sh)_history",
            r"|\bunset\s+HISTFILE\b|\bHISTFILE=/dev/null"
        ),
    ),
    high(
        "poison.disable-guards",
        &["set-mppreference", "auditctl", "auditd", "apparmor"],
        concat!(
            r"\bset-mppreference\b[^\n]*-disable\w+\s+(?:\$?true|1)\b|\bauditctl\s+-[eD]\s*0?\b",
            r"|\b(?:systemctl|service)\s+(?:stop|disable|mask)\s+(?:auditd|apparmor)\b"
        ),
    ),
    high(
        "poison.reverse-shell",
        &["/dev/tcp/", "/dev/udp/", "nc ", "ncat", "netcat", "nc.exe", "socat", "mkfifo"],
        concat!(
            r"[<>]\s*&?\s*/dev/(?:tcp|udp)/[^\s/]+/\w|\b(?:nc|ncat|netcat)(?:\.exe)?(?:\s[^\n;",
            r"|]*)?\s-[a-z]*[ec]\s+\S*(?:sh|cmd|cmd\.exe|powershell)\b|\bsocat\s[^\n]*\bexec:\S*sh\b",
            r"|\bmkfifo\s[^\n]*\|\s*(?:nc|ncat)\b"
        ),
    )
    .and(&["sh", "cmd", "/dev/tcp", "/dev/udp", "exec:", "|"]),
    Rule {
        id: "exfil.secret-file",
        kind: Kind::Exfiltration,
        role: Role::Alert(Severity::High),
        mention: Mention::Excused,
        literals: &[
            "env",
            "/etc/passwd",
            "/etc/shadow",
            ".ssh",
            "id_rsa",
            "id_ed25519",
            ".aws",
            ".netrc",
            ".gnupg",
            ".kube",
            ".env",
        ],
        also: &["scp", "rsync", "sftp", "rclone", "ftp", "|", "curl", "wget"],
        pattern: concat!(
            // The key that the connection itself is made with (`-i`) goes nowhere.
            r"\b(?:scp|rsync|sftp|rclone|ftp)(?:\s+(?:-[iF]\s*\S+|-[^iF\s]\S*|[^\s;|-][^\s;|]*))*?\s+(?:[^\s;|-][^\s;|]*)?(?:/etc/(?:passwd",
            r"|shadow)|\.ssh\b|id_(?:rsa|ed25519)\b|\.aws/|\.netrc|\.gnupg|\.kube/|\.env\b)[^\n;|]*:|(?:/etc/(?:passwd|shadow)",
            r"|\.ssh/(?:id_|\*)\w*|\bid_(?:rsa|ed25519)|\.aws/credentials|\.netrc",
            r"|\.kube/config)\b[^\n;]*\|\s*(?:\w+\s+)*(?:curl|wget|nc|ncat|netcat|socat|ssh|mail",
            r"|sendmail)\b|\b(?:curl|wget)\s[^\n]*(?:\$\(|`)[^\n)`]*(?:/etc/(?:passwd|shadow)|\.ssh/",
            r"|id_rsa|\.env\b|\.aws/|printenv|\benv\b)"
        ),
    },
    Rule {
        id: "exfil.post-file",
        kind: Kind::Exfiltration,
        role: Role::Alert(Severity::High),
        mention: Mention::Excused,
        literals: &["--post-file", "--body-file"],
        also: &[],
        pattern: r"\bwget\s[^\n;|]*--(?:post|body)-file[=\s]\s*\S",
    },
    medium("poison.drop-database", &["drop"], r"\bdrop\s+(?:database|schema|table)\s+\w")
        .and(&["database", "schema", "table"]),
];
