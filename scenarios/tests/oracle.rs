//! The codec of images against CRIU's own: `crit decode` of the same release, in a machine.

mod support;

use support::{Run, Script};

/// A Python that holds what images are made of; its root has CRIU's own decoder.
const WORKLOAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle");

/// Decodes every image by both and lets CRIU's Python compare them.
const HOOK: &str = concat!(
    r#"set -e
root=/run/cryolab/images/workload
desk=/tmp/oracle
mkdir -p $desk
cat > $desk/compare.py <<'END'
"#,
    include_str!("oracle/compare.py"),
    r#"END
cd "$CRYOLAB_IMAGES"
for file in *.img; do
    case $file in pages-*|tmpfs-*) continue ;; esac
    cp "$file" $desk/
    cryolab-agent image decode "$file" > "$desk/$file.json"
done
mount --bind $desk $root/mnt
chroot $root /usr/bin/python3 /mnt/compare.py
umount $root/mnt
"#
);

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn images_are_decoded_as_crit_decodes_them() {
    let hook = Script::new(HOOK);
    let hook = hook.at("pre-restore");
    let run = Run::of(&["--scenario", "in-place", "--workload", WORKLOAD, "--hook", &hook]);
    let cell = run.cell();
    assert!(cell["outcome"] != "failed" && cell["outcome"] != "broken", "{}", run.reason());
    assert!(run.stderr.contains("code 0"), "the hook has run: {}", run.stderr);
}
