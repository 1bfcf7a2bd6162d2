//! Commands that load and run what comes from elsewhere, stay, lock others out or wreck a system, by the forms that no
//! other use of the same program has.

use super::rules::{Mention, Role, Rule};
use super::{Kind, Severity};

const fn high(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    let role = Role::Alert(Severity::High);
    Rule { id, kind: Kind::ToolPoisoning, role, mention: Mention::Excused, literals, also: &[], pattern }
}

const fn medium(id: &'static str, literals: &'static [&'static str], pattern: &'static str) -> Rule {
    Rule { role: Role::Alert(Severity::Medium), ..high(id, literals, pattern) }
}

/// The family of takeovers.
pub(super) const RULES: &[Rule] = &[
    high(
        "takeover.encoded-powershell",
        &["powershell", "pwsh"],
        concat!(
            r"\b(?:powershell|pwsh)(?:\.exe)?\b[^\n]*\s-(?:e|en|enc|enco\w*|encodedcommand)\s+\S{12,}",
            r"|\b(?:powershell|pwsh)\b[^\n]*-w(?:indowstyle)? (?:hidden|1)\b"
        ),
    ),
    high(
        "takeover.fetch-by-proxy",
        &["certutil", "bitsadmin", "mshta", "regsvr32", "rundll32", "msiexec", "wmic"],
        concat!(
            r"\bcertutil(?:\.exe)?\b[^\n]*-urlcache|\bbitsadmin(?:\.exe)? /transfer",
            r"|\bmshta(?:\.exe)? \S?(?:https?:|javascript:|vbscript:)",
            r"|\bregsvr32(?:\.exe)?\b[^\n]*/i:\S*http|\brundll32(?:\.exe)? \S*javascript:",
            r"|\bmsiexec(?:\.exe)? [^\n]*https?://|\bwmic(?:\.exe)? [^\n]*process call create"
        ),
    ),
    high(
        "takeover.shell-from-code",
        &["-exec", "pty", "spawn", "socket", "fsockopen", "/bin/sh", "/bin/bash"],
        concat!(
            r"\bpty\.spawn\(|\b(?:python[\d.]*|perl|ruby|php|lua|node)\b[^\n]*\s-(?:c|e",
            r"|r)\b[^\n]*(?:fsockopen|socket[^\n]*(?:connect|bind|dup2|subprocess|listen|exec|/bin/|[,(]\d))|\bruby -rsocket|(?:socket",
            r"|fsockopen)[^\n]*(?:/bin/(?:ba)?sh|cmd\.exe)|-exec (?:/bin/)?(?:ba|da|z)?sh\b"
        ),
    ),
    high(
        "takeover.persist",
        &[
            "crontab",
            ".bashrc",
            ".profile",
            ".zshrc",
            "currentversion",
            "schtasks",
            "ld_preload",
            "rc.local",
            "launchagents",
            "authorized_keys",
            "sudoers",
        ],
        concat!(
            r"(?:(?:\b(?:curl|wget|bash|nc|python\d?)|(?:\A|[^.\w-])sh|/dev/(?:tcp|shm))\b|/tmp/)[^\n]*\|\s*crontab\b|(?:/dev/tcp|curl",
            r"|wget|base64)[^\n]*>>\s*\S*(?:\.bashrc|\.profile|\.zshrc|rc\.local)",
            r"|\breg(?:\.exe)? add [^\n]*currentversion\\\\?run",
            r"|\bschtasks(?:\.exe)? /create [^\n]*(?:powershell|http|cmd|temp)",
            r"|\bld_preload=\S*(?:/tmp|/dev/shm)|\b(?:add|append|write|put",
            r"|insert) [^\n]{0,80}\b(?:ssh key|public key|ssh-rsa",
            r"|ssh-ed25519)[^\n]{0,60}authorized_keys|authorized_keys[^\n]{0,40}ssh-(?:rsa|ed25519)",
            r"|(?:>>|tee -a) ?/etc/sudoers"
        ),
    ),
    high(
        "takeover.carry-off",
        &["aws", "gsutil", "|"],
        concat!(
            r"\b(?:tar|zip|gzip|cat|mysqldump|pg_dump|env|dd)\b[^\n|]*\|\s*(?:\w+ [^\n|]*\|\s*)*(?:nc",
            r"|ncat|netcat)\b|\b(?:aws s3 (?:cp|sync|mv)|gsutil (?:-\w+ )?(?:cp|rsync)) \S*(?:/etc/",
            r"|~/\.|/root|/home|\.ssh|\.aws|\.env)\S* \S*(?:s3|gs)://"
        ),
    ),
    high(
        "takeover.wreck",
        &[
            "/etc/sudoers",
            "/dev/null",
            "/etc/passwd",
            "/etc/shadow",
            "chown",
            "remove-item",
            "/boot",
            "/etc/fstab",
        ],
        concat!(
            r"\bmv (?:-\w+ )*(?:/|~|\*)\S* /dev/null|(?:\A|[\n;&|`])\s*(?:sudo )?(?:\w+ [^\n;",
            r"|]*)?>\s*/etc/(?:passwd|shadow|fstab|sudoers)\b|\bchown (?:-\w+ )*-\w*R\w* \S+ (?:/|~",
            r"|/(?:etc|usr|bin|home|var|root|boot)/?)(?:\s|\z)|\b(?:get-childitem|gci|dir",
            r"|ls) \S*[a-z]:\\[^\n]*\|\s*remove-item"
        ),
    ),
    high(
        "takeover.cloud",
        &["delete", "destroy", "terminate", "s3://"],
        concat!(
            r"\bkubectl delete (?:ns|namespaces?|nodes?|pv|crd) \S*(?:prod|kube-system|default|--all)",
            r"|\bgcloud projects delete\b[^\n]*--quiet|\baz group delete\b[^\n]*(?:--yes|-y)\b",
            r"|\baws (?:ec2 terminate-instances|rds delete-db-instance|s3 rm s3://\S+ --recursive)\b",
            r"|\bpulumi destroy [^\n]*(?:--yes|-y)\b",
            r"|\bfor \w+ in \$\(aws \w+ describe-(?:snapshots|volumes|instances|db-\w+)\b[^\n]*\bdo aws \w+ (?:delete",
            r"|terminate)-\w+"
        ),
    )
    .and(&["kubectl", "gcloud", "az", "aws", "pulumi"]),
    medium(
        "takeover.stop",
        &["shutdown", "poweroff", "reboot", "halt", "stop-computer", "init", "push"],
        concat!(
            r"(?:\A|[\n;&|`\x22']|sudo)\s*(?:shutdown (?:-\w+ )*(?:now|/[sr]|-[hr]|\+?0)|poweroff\b",
            r"|reboot\b|halt\b|stop-computer|init [06])|\bgit push [^\n]*(?:--force|-f|--delete",
            r"|--mirror)\b"
        ),
    ),
    medium(
        "takeover.update-all",
        &["exec", "update", "drop", "alter", "insert", "delete"],
        concat!(
            r"\bupdate \w+ set \w+\s*=\s*[^\n;]{1,40}(?:;|\z)|['\x22]\)?\s*;\s*(?:drop|delete|update",
            r"|insert|alter|exec)\b[^\n]*(?:--|#|;)"
        ),
    )
    .and(&["set", ";"]),
];
