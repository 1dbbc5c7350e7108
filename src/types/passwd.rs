//! The lines of passwd and group, as every system has them. What is no such line is nobody: a comment, or one that somebody has cut.

/// One line of passwd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account<'a> {
    pub name: &'a [u8],
    pub uid: u32,
    pub gid: u32,
    /// As it is written, so perhaps empty.
    pub home: &'a [u8],
    pub shell: &'a [u8],
}

/// One line of group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    pub name: &'a [u8],
    pub gid: u32,
    pub members: Vec<&'a [u8]>,
}

pub fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account<'_>> {
    lines(passwd).filter_map(|fields| {
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        (!name.is_empty()).then_some(())?;
        Some(Account { name, uid: number(uid)?, gid: number(gid)?, home, shell: shell.trim_ascii_end() })
    })
}

pub fn groups(group: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(group).filter_map(|fields| {
        let [name, _, gid, members] = fields[..] else { return None };
        (!name.is_empty()).then_some(())?;
        let members = members.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        Some(Group { name, gid: number(gid)?, members: members.filter(|member| !member.is_empty()).collect() })
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect())
}

/// The highest one means "no change" to the kernel: whoever became it would stay who he was.
fn number(digits: &[u8]) -> Option<u32> {
    str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are() {
        let passwd = b"# root:x:0\nroot:x:0:0:root:/root:/bin/ash\r\nodd:x:7\nmax:x:4294967295:0::/:\n:x:1:1::/:\n\xff:x:8:9:a,b::\n";
        let found: Vec<_> = accounts(passwd).collect();
        let root = Account { name: b"root", uid: 0, gid: 0, home: b"/root", shell: b"/bin/ash" };
        assert_eq!(found, [root, Account { name: b"\xff", uid: 8, gid: 9, home: b"", shell: b"" }]);
        let found: Vec<_> = groups(b"wheel:x:10:root, web,\nodd:x:web\nmany:x:a:b\nempty:x:5:\n").collect();
        let wheel = Group { name: b"wheel", gid: 10, members: vec![b"root", b"web"] };
        assert_eq!(found, [wheel, Group { name: b"empty", gid: 5, members: vec![] }]);
    }
}
