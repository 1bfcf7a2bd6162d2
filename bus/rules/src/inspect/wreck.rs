//! Commands and code that wreck, seize or drain a system, over many platforms: clusters, clouds, stores, volumes,
//! Windows, kernels; accounts, start-up places, calls home; secrets piped or copied away. Each by the form that
//! ordinary work does not take.

use super::rules::{Mention, Role, Rule};
use super::{Kind, Severity};

const fn rule(
    id: &'static str,
    kind: Kind,
    severity: Severity,
    literals: &'static [&'static str],
    also: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule { id, kind, role: Role::Alert(severity), mention: Mention::Excused, literals, also, pattern }
}

/// The family of wrecks, seizures and drains.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule(
        "wreck.cluster",
        Kind::ToolPoisoning,
        Severity::High,
        &["kubectl", "helm", "oc ", "clusterrolebinding"],
        &["delete", "uninstall", "clusterrolebinding"],
        concat!(
            r"\b(?:kubectl\b|oc\s)[^\n;|]*\bdelete (?:all|pvc?|deploy\w*|secrets?|namespaces?|ns|crds?",
            r"|nodes?|sts|statefulsets?|svc|services?|pods?|\S+,\S+)\b[^\n;|]*(?: -A\b",
            r"|--all(?:-namespaces)?\b)|\bhelm (?:uninstall|delete) [^\n]*\$\(helm",
            r"|\bcreate clusterrolebinding [^\n]*cluster-admin"
        ),
    ),
    rule(
        "wreck.plan",
        Kind::ToolPoisoning,
        Severity::High,
        &["destroy", "stack delete"],
        &["destroy", "approve", "--force", "--yes", " -y", "delete"],
        concat!(
            r"\b(?:terraform|tofu|terragrunt|cdk|cdktf|pulumi|serverless|sls|heroku|vagrant)\b[^\n;",
            r"|]*\bdestroy\b[^\n;|]*(?:auto-approve|--force|--yes|-y\b|--confirm)"
        ),
    ),
    rule(
        "wreck.cloud",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "purge",
            "delete", "terminate", "stop-logging", "detach", "disable", "schedule-key-deletion",
        ],
        &[
            "purge", "--force", "--quiet", "--yes", "skip-final", "recovery-window", "--recursive",
            "stop-logging", "delete-trail", "guardduty", "key-deletion", "--purge", "-y", "-q",
        ],
        concat!(
            r"\b(?:gcloud|az (?:group|vm|vmss|storage|sql|aks|keyvault|webapp|disk|snapshot|cosmosdb",
            r"|postgres|mysql|network|backup)|doctl|ibmcloud|oci|aliyun|flyctl|gh) [^\n;",
            r"|]*\b(?:delete|terminate|purge)\b[^\n;|]*(?:--quiet|--yes|--force|-[yq]\b|--purge)",
            r"|\baws [^\n;|]*\b(?:delete-\w[\w-]*|terminate-\w+)\b[^\n;|]*(?:--skip-final\S*",
            r"|--force\S*|--recovery-window\S*|--recursive)|\baws (?:cloudtrail (?:stop-logging",
            r"|delete-trail)|guardduty delete-detector|kms schedule-key-deletion)"
        ),
    ),
    rule(
        "wreck.grant",
        Kind::ToolPoisoning,
        Severity::High,
        &["administratoraccess", "create-access-key", "roles/owner", "add-iam-policy"],
        &[],
        concat!(
            r"\battach-(?:user|role|group)-policy [^\n]*administratoraccess",
            r"|\badd-iam-policy-binding [^\n]*(?:roles/owner|allusers)"
        ),
    ),
    rule(
        "wreck.container",
        Kind::ToolPoisoning,
        Severity::High,
        &["nerdctl", "docker", "podman", "nsenter", "ctr run"],
        &["privileged", ":/", "nsenter", "-f $", "volumes", "-1", "target", " -t"],
        concat!(
            r"\b(?:docker|podman|nerdctl) run [^\n]*(?:(?:-v|--volume)[\x20=][\x22']?/:/",
            r"|--privileged[^\n]*(?:chroot|nsenter|/host|/mnt|\bsh\b|bash))",
            r"|\bnsenter [^\n]*(?:-t ?1\b|--target[\x20=]1\b)|\b(?:docker",
            r"|podman) system prune [^\n]*(?:--all|-a|-af|-fa)\b[^\n]*--volumes[^\n]*(?:docker",
            r"|podman) (?:rm|rmi|kill) -f"
        ),
    ),
    rule(
        "wreck.store",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "dumpfile", "flushall", "flushdb", "deletemany", "dropdatabase", "[c].drop", "].drop",
            "xp_cmdshell", "load_file", "truncate", "_all", "getcollectionnames", "outfile", "program",
            "9200/",
        ],
        &[],
        concat!(
            r"\bflush(?:all|db)\b(?:\s*(?:\z|[\n;&|\x22']|async))|\.deletemany\(\s*\{\s*\}\s*\)",
            r"|\bdropdatabase\(|getcollectionnames\(\)[^\n]*drop\(|\bxp_cmdshell\b",
            r"|\bto program ['\x22]|\binto (?:out|dump)file ['\x22]|\bload_file\(\s*['\x22(0]|(?:\A",
            r"|[\n;`\x22'])\s*truncate (?:table )?\w+(?: cascade| restart identity)?\s*(?:;|\z)",
            r"|-x ?delete [^\n]*:9200/(?:_all|\*)"
        ),
    ),
    rule(
        "wreck.volume",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "pvremove",
            "zpool", "zfs", "lvremove", "vgremove", "luks", "cryptsetup", "hdparm", "nvme", "mdadm",
            "parted", "btrfs",
        ],
        &[],
        concat!(
            r"\bzpool destroy\b[^\n]*-f|\bzfs destroy -\w*[rR]|\b(?:lv|vg|pv)remove [^\n]*(?:-f",
            r"|--force|-y|--yes)|\bcryptsetup [^\n]*(?:luksErase|erase)\b|\bnvme format\b",
            r"|\bmdadm [^\n]*--zero-superblock|\bparted -s \S+ (?:rm|mklabel)"
        ),
    ),
    rule(
        "wreck.own-guard",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "mppreference", "computerrestore", "amsi", "shadowcopy", "deletejournal", "auditpol",
            "netsh", "taskkill", "everyone:", "safeboot", "disableantispyware", "eventlog",
        ],
        &[],
        concat!(
            r"\b(?:set|add)-mppreference [^\n]*(?:-disable\w+[\x20:]+(?:\$true|1)|-exclusion\w+)",
            r"|\bdisable-computerrestore\b|\bamsi(?:utils|initfailed|scanbuffer)\b",
            r"|\bshadowcopy delete\b|\busn deletejournal\b|\bauditpol [^\n]*(?:/clear|/disable",
            r"|:disable)|\btaskkill [^\n]*(?:lsass|csrss|winlogon|msmpeng|wininit)",
            r"|\bicacls [^\n]*everyone:\(?\S*f\b|\bdisableantispyware\b|\bstop-service [^\n]*eventlog"
        ),
    ),
    rule(
        "wreck.watchers",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "ruleset", "auditd", "rsyslog", "fail2ban", "apparmor", "falco", "clamav", "wazuh", "ossec",
            "crowdstrike", "falcon-sensor", "ufw", "iptables", "setenforce", "osquery", "sysmon", "nft",
        ],
        &["unload", "stop", "disable", "mask", "kill", "reset", "permissive", "-f", "flush", "--flush", "input", "-u"],
        concat!(
            r"\b(?:systemctl|service|rc-service|launchctl)\b[^\n;|&]*\b(?:stop|disable|mask",
            r"|unload)\b[^\n;|&]*\b(?:auditd|rsyslog|fail2ban|apparmor|falco|clamav\S*|wazuh\S*",
            r"|ossec\S*|falcon-sensor|osquery\w*)|\bservice (?:auditd|rsyslog|fail2ban|apparmor) stop",
            r"|\b(?:pkill|killall) [^\n;|]*(?:auditd|rsyslog|fail2ban|falco|osquery|clamav",
            r"|falcon-sensor)|\bufw (?:--force )?reset\b|\biptables (?:--flush|-P INPUT ACCEPT)",
            r"|\bnft flush ruleset|\bsetenforce permissive|\bsysmon\S* -u\b"
        ),
    ),
    rule(
        "wreck.kernel",
        Kind::ToolPoisoning,
        Severity::High,
        &["/proc/sys", "sysrq-trigger", "core_pattern", "kernel.randomize"],
        &[],
        concat!(
            r">\s*/proc/sysrq-trigger|\becho \S+ >\s*/proc/sys/kernel/(?:randomize|core_pattern|yama",
            r"|modprobe)|>\s*/proc/sys/kernel/core_pattern|\bsysctl [^\n]*kernel\.randomize_va_space=0"
        ),
    ),
    rule(
        "wreck.loop",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "xargs", "unlink", "rmtree", "rm_rf", "removeall", "remove_dir_all", "directory.delete",
            "deleterecursively", "for",
        ],
        &["unlink", "rmtree", "rm_rf", "removeall", "remove_dir_all", "delete", "rm", "shred"],
        concat!(
            r"\bfor \w+ in [^\n;]*(?:/(?:etc|var|usr|home|bin|boot|lib|root|opt|srv|data)\b|/\*",
            r"|~)[^\n]*;\s*do[^\n]*\brm -\w*[rf]|\bunlink[\x20(]+(?:glob|<)[^\n]*/",
            r"|\b(?:fileutils\.rm_rf|os\.removeall|remove_dir_all|directory\.delete",
            r"|rmtree)\(\s*@?[rb]?[\x22'](?:/|~|[a-z]:\\)(?:[\x22']|(?:etc|usr|var|home|root|boot|bin",
            r"|lib|windows|users)\b)|\b(?:ls|find|cat|locate) [^\n;]*(?:/|~)[^\n;]*",
            r"\|\s*xargs [^\n;]*\b(?:rm -\w*[rf]|shred)"
        ),
    ),
    rule(
        "wreck.fill",
        Kind::ToolPoisoning,
        Severity::High,
        &["/dev/zero", "/dev/urandom", "yes ", "fallocate"],
        &["while", "for", "/dev/"],
        concat!(
            r"\b(?:while|for|until)\b[^\n]*\bdo\b[^\n]*(?:/dev/(?:zero|urandom)[^\n]*>",
            r"|>[^\n]*/dev/(?:zero|urandom))|\bdd if=/dev/(?:zero|urandom) of=/(?:\s|fill|tmp/\S*fill)"
        ),
    ),
    rule(
        "wreck.history",
        Kind::ToolPoisoning,
        Severity::Medium,
        &["reflog", "filter-branch", "push"],
        &[],
        concat!(
            r"\bgit reflog expire [^\n]*--expire(?:-unreachable)?=now[^\n]*--all",
            r"|\bgit push [^\n]* \+\S+|\bgit filter-branch\b[^\n]*--all"
        ),
    ),
    rule(
        "seize.trace",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "histfile", "histsize", "bash_history", "zsh_history", "lastlog", "consolehost_history",
        ],
        &[],
        concat!(
            r"\bunset histfile\b|\bhistfile=(?:/dev/null|['\x22]{2}|\s|\z)|\bhist(?:file)?size=0\b",
            r"|(?:>|\brm\b[^\n;|]*|\bshred\b[^\n;|]*|\btruncate\b[^\n;|]*",
            r"|ln -sf? /dev/null) ?\S*(?:bash_history|zsh_history|consolehost_history\S*|lastlog)"
        ),
    ),
    rule(
        "seize.account",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "useradd", "usermod", "passwd", "adduser", "localgroup", "localuser", "localgroupmember",
            "permitrootlogin", "/etc/passwd", "sudoers", "ld.so.preload", "setcap",
        ],
        &[],
        concat!(
            r"\b(?:useradd|usermod|adduser) [^\n;|]*(?:-u 0\b|--uid 0\b|-o -u\b)|\bpasswd -d root\b",
            r"|\badd-localgroupmember [^\n]*administrators|\bnet1? localgroup administrators \S+ /add",
            r"|(?:echo|printf|sed|tee)\b[^\n;]*permitrootlogin yes|(?:echo",
            r"|printf)\b[^\n]*:0:0:[^\n]*>>? ?/etc/passwd|(?:echo|printf)\b[^\n]*nopasswd[^\n]*(?:>>?",
            r"|tee)[^\n]*sudoers|(?:>>?|tee|cp|mv) ?[^\n;|]*/etc/ld\.so\.preload",
            r"|\bsetcap cap_setuid\S* "
        ),
    ),
    rule(
        "seize.owner-bit",
        Kind::ToolPoisoning,
        Severity::High,
        &["chmod", "/bin/"],
        &[],
        concat!(
            r"\bchmod (?:-\w+ )*(?:[ugo]*\+r?w?x?s|[46]7(?:55|77)) \S*(?:/tmp/|/dev/shm|/bin/|/\.",
            r"|\bsh\b|bash)|\bcp /bin/(?:ba|z|da)?sh /(?:tmp|dev/shm|var/tmp)"
        ),
    ),
    rule(
        "seize.stay",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "execstart", "/etc/cron", "systemd/system", "launchagents", "launchdaemons",
            "currentversion", "schtasks", "crontab", "startup", "winlogon", "profile.d", "rc.local",
            "authorized_keys", "register-scheduledtask", ".bashrc", ".zshrc", ".profile",
        ],
        &[
            "/tmp", "/dev/shm", "curl", "wget", "http", "/dev/tcp", "temp\\", "appdata", "powershell",
            "ssh-", "base64", "programdata", "public\\", "python", ".vbs", "nc",
        ],
        concat!(
            r"\bexecstart=[^\n]*(?:/tmp/|/dev/shm|/var/tmp|curl|wget|/dev/tcp|base64)|(?:curl|wget",
            r"|/dev/tcp|\bnc |base64|/tmp/|/dev/shm)[^\n]*(?:>>?|tee(?: -a)?|crontab -",
            r"|-o) ?\S*(?:/etc/cron\S*|systemd/system\S*|profile\.d\S*|rc\.local|\.bashrc|\.zshrc",
            r"|\.profile|launch(?:agents|daemons)\S*)|\b(?:curl|wget|/dev/tcp|base64|\bnc )[^\n]*",
            r"\|\s*crontab|launch(?:agents|daemons)/[^\n]*(?:curl|wget|/tmp/|nc )",
            r"|currentversion\\\\?run\w*[^\n]*(?:temp\\|appdata|programdata|public\\|powershell|http",
            r"|\.vbs|/tmp)|\bregister-scheduledtask [^\n]*(?:powershell|http|temp\\)|\bssh-(?:rsa",
            r"|ed25519|dss) [^\n]*>> ?\S*authorized_keys"
        ),
    ),
    rule(
        "seize.call-home",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "require(",
            "tcpsocket", "tcpclient", "fsockopen", "socket", "net.dial", "/inet/tcp", "s_client",
            "io::socket", "mkfifo", "mknod", "zsh/net", "socat", "telnet",
        ],
        &[
            "exec", "popen", "cmd.exe", "getstream", "os.execute", "spawn", "|&", "iex", "| /bin", "sh",
            "system:", "/inet/tcp", "nc", "telnet", "openssl",
        ],
        concat!(
            r"\b(?:tcpsocket\.(?:new|open)|net\.sockets\.tcpclient|tcpclient\(|fsockopen",
            r"|socket\.socket|socket\.tcp\(|require\([\x22'](?:net|socket)[\x22']\)|net\.dial\(",
            r"|io::socket)(?s:.{0,400})(?:\bexec\b|/bin/(?:ba|z)?sh|popen|cmd\.exe|getstream\(",
            r"|os\.execute|spawn\(|\biex\b|exec\.command)|/inet/tcp/|\bmkfifo \S+[^\n]*(?:\bnc\b|ncat",
            r"|telnet|openssl|/bin/(?:ba)?sh)|\bs_client [^\n]*\|[^\n]*sh\b|\bsocat [^\n]*(?:exec",
            r"|system):[^\n]*|\btelnet \S+ \d+ \| ?/bin/(?:ba)?sh"
        ),
    ),
    rule(
        "seize.decoded",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "xxd",
            "b64decode", "base64", "frombase64string", "atob(", "unhexlify", "xxd -r", "fromcharcode",
            "gzinflate",
        ],
        &["exec", "eval", "bash", "iex", "invoke-expression", "python", "perl", "function", "assert", "|"],
        concat!(
            r"\b(?:exec|eval|assert|function|iex|invoke-expression)\b[\x20(]+[^\n]{0,80}(?:b64decode",
            r"|frombase64string|atob\(|unhexlify|base64_decode|gzinflate|fromcharcode)",
            r"|\b(?:base64 (?:-d|-D|--decode)|xxd -r)[^\n|]*\|\s*(?:sudo )?(?:(?:ba|z|da)?sh",
            r"|python[\d.]*|perl)\b|frombase64string\([^\n]*\|\s*iex"
        ),
    ),
    rule(
        "seize.fetched",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "iex", "invoke-expression", "webclient", "--index-url", "--extra-index-url",
            "invoke-command", "start-process", "--trusted-host", "pip", "/tmp/", "/dev/shm",
        ],
        &["invoke", "http", "webclient", "iwr", "irm", "curl", "wget", "temp\\"],
        concat!(
            r"\b(?:iex|invoke-expression)[\x20(&]+[^\n]*(?:iwr|irm|invoke-web|invoke-rest|webclient",
            r"|http)|\bpip3? install [^\n]*(?:--index-url|--extra-index-url|-i)[\x20=]http://",
            r"|\bpip3? install [^\n]*(?:--index-url|--extra-index-url|-i)[\x20=]https?://\d+\.\d+",
            r"|(?:curl|wget)[^\n]*(?:-o|-O|>) ?(/(?:tmp|dev/shm|var/tmp)/\S+)[^\n]*(?:&&",
            r"|;)[^\n]*(?:chmod \S+ /|(?:ba|z)?sh /(?:tmp|dev/shm|var/tmp)|(?:&&|;) ?/(?:tmp|dev/shm",
            r"|var/tmp)/)|\bstart-process [^\n]*(?:temp\\|http)"
        ),
    ),
    rule(
        "seize.mine",
        Kind::ToolPoisoning,
        Severity::High,
        &[
            "xmrig", "minerd", "stratum", "cpuminer", "donate-level", "cryptonight", "nicehash",
        ],
        &[],
        r"\bxmrig\b|\bminerd\b|stratum\+(?:tcp|ssl)://|--donate-level|\bcpuminer\b",
    ),
    rule(
        "seize.recon",
        Kind::ToolPoisoning,
        Severity::Medium,
        &["getcap", "-perm", "linpeas", "winpeas", "pspy", "/proc/*/environ", "unshadow", "/priv"],
        &[],
        concat!(
            r"\bfind / [^\n]*-perm [-/]?(?:4000|u=s|6000|2000)|\b(?:linpeas|winpeas|pspy\d*",
            r"|unshadow)\b|\bgetcap -r /|/proc/\*/environ|\bwhoami /priv"
        ),
    ),
    rule(
        "drain.pipe",
        Kind::Exfiltration,
        Severity::High,
        &["|"],
        &["nc", "netcat", "curl", "wget", "xargs", "mail", "ssh"],
        concat!(
            r"(?:\A|[\n;&|(]\s*)(?:sudo )?(?:env|printenv|set|history|tcpdump\b[^\n|]*|(?:cat|tar|zip",
            r"|gzip|gpg|find|grep|mysqldump|pg_dump|kubectl get secrets?|security|getent)\b[^\n",
            r"|]*(?:~/|\$home|/etc|/root|/home|\.ssh|\.aws|\.env|\.kube|secret|credential|passw",
            r"|\.netrc|--all|export-secret|shadow|git-cred)[^\n|]*)\s*\|(?:\s*(?:base64|gzip|xxd|xz",
            r"|zstd|openssl|head|tr|jq|gpg|sed|awk)\b[^\n|]*\|)*\s*(?:nc|ncat|netcat|curl|wget",
            r"|xargs [^\n|]*(?:curl|wget|dig|nslookup)|mail|sendmail|ssh \S*@?\S+)\b",
            // What is served goes to a host by ssh in many a backup.
            r"|(?:\A|[\n;&|(]\s*)(?:sudo )?(?:cat|tar|zip|gzip|find|grep)\b[^\n|]*/srv[^\n|]*\|\s*(?:nc|ncat|netcat|curl",
            r"|wget|mail|sendmail)\b",
            // What is looked for may hold the sign that parts commands.
            r"|(?:\A|[\n;&|(]\s*)(?:sudo )?(?:env|printenv)\s*\|\s*grep\b[^\n]*\|\s*(?:nc|ncat|netcat)\b"
        ),
    ),
    rule(
        "drain.names",
        Kind::Exfiltration,
        Severity::High,
        &["nslookup", "resolve-dnsname", "dig ", "host ", "ping "],
        &["dig", "base64", "base32", "xxd", "whoami", "hostname", "/etc/", "env", "secret", "$(", "`", "cat"],
        concat!(
            r"\b(?:dig|nslookup|host|resolve-dnsname|ping)[\x20\t][^\n]*(?:\$\([^\n)]*(?:base64|xxd|whoami",
            r"|cat|env|hostname|id\b)[^\n]*\)|`[^`\n]*(?:base64|xxd|whoami|cat",
            r"|env)[^`\n]*`)[^\n]*\.\w|\bfor \w+ in [^\n]*(?:cat|xxd|base(?:32|64))[^\n]*do[^\n]*\b(?:dig",
            r"|nslookup|host|ping)[\x20\t]"
        ),
    ),
    rule(
        "drain.copy",
        Kind::Exfiltration,
        Severity::High,
        &["copy", "scp", "rsync", "sftp"],
        &["c:\\users", "~", "/home", "/root", "/etc", "/var", "$home", "documents", ".ssh", ".aws"],
        concat!(
            r"\b(?:scp|rsync|sftp)\b [^\n;|]*(?:~/?|/home|/root|/etc|/var|\$home|documents|\.ssh",
            r"|\.aws)[^\n;|]*(?:\w+@)?\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}:|\b(?:robocopy|copy",
            r"|xcopy) [^\n;|]*c:\\users\S* \\\\\d+\.\d+"
        ),
    ),
    rule(
        "drain.secrets",
        Kind::Exfiltration,
        Severity::Medium,
        &["vault", "git-credentials", "find-generic-password", "secret"],
        &[],
        concat!(
            r"\bkubectl [^\n]*get secrets? [^\n]*(?:-A|--all-namespaces)",
            r"|\bgpg [^\n]*--export-secret-keys|\bcat [^\n]*\.git-credentials",
            r"|\bget-secret-value [^\n]*--query|\bvault kv get [^\n]*-format"
        ),
    ),
];
