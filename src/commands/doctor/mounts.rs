//! Which file system a directory lies on, by `/proc/self/mountinfo`.
//!
//! ```text
//!   36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue
//!                    (4)          options             - type source    options
//! ```

use std::path::Path;

/// A mounted file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// `ext4` and the like.
    pub kind: String,
    /// The device, or whatever stands for it.
    pub source: String,
    /// All options, of the mount and of the file system.
    pub options: String,
}

/// The mount that a path (absolute, without links) lies below: the deepest, and of equal ones the last, which hides the others.
pub fn mount_of(path: &Path, mountinfo: &str) -> Option<Mount> {
    let mounts = mountinfo.lines().filter_map(parse);
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| Path::new(point).components().count()).map(|(_, mount)| mount)
}

fn parse(line: &str) -> Option<(String, Mount)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    let (point, options) = (unescaped(fields.next()?), fields.next()?);
    let mut fields = file_system.split(' ');
    let (kind, source, more) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    let options = format!("{options},{more}");
    Some((point, Mount { kind: kind.to_owned(), source: source.to_owned(), options }))
}

/// Blanks and the like are written as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
31 22 0:27 / /srv rw,nosuid - tmpfs tmpfs rw,size=1k
35 31 8:1 /x /srv/big\\040disk rw,noatime master:1 shared:7 - xfs /dev/sdb1 rw,attr2
36 22 8:2 / /srv rw - btrfs /dev/sdc rw
not a mount
";

    fn kind(path: &str) -> Option<String> {
        mount_of(Path::new(path), MOUNTINFO).map(|mount| mount.kind)
    }

    #[test]
    fn a_directory_belongs_to_the_deepest_mount_above_it() {
        assert_eq!(kind("/var/lib/ringlog").as_deref(), Some("ext4"));
        assert_eq!(kind("/srv/big disk/data").as_deref(), Some("xfs"));
        assert_eq!(kind("/srv/bigger").as_deref(), Some("btrfs"), "a later mount hides an earlier one");
        assert_eq!(kind("relative"), None);
        let mount = mount_of(Path::new("/srv/big disk"), MOUNTINFO).unwrap();
        assert_eq!((mount.source.as_str(), mount.options.as_str()), ("/dev/sdb1", "rw,noatime,rw,attr2"));
    }
}
