//! The header lines of a request.

/// Header lines in their order, in two allocations however many there are.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// Name, value, name, value …, with nothing in between.
    text: String,
    ends: Vec<Ends>,
}

/// Where the name and the value of a line end in the text; each begins where the last one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    name: usize,
    value: usize,
}

impl Headers {
    /// Bytes that are not UTF-8 become U+FFFD: no header that means something here has any.
    pub(crate) fn new(lines: &[httparse::Header<'_>]) -> Self {
        let bytes = lines
            .iter()
            .map(|line| line.name.len() + line.value.len())
            .sum();
        let mut headers = Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(lines.len()),
        };
        for line in lines {
            headers.text.push_str(line.name);
            let name = headers.text.len();
            headers.text.push_str(&String::from_utf8_lossy(line.value));
            headers.ends.push(Ends {
                name,
                value: headers.text.len(),
            });
        }
        headers
    }

    /// The value of the first line of that name, whatever the case of its letters, without the
    /// blanks around it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let line = self
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(line.1)
    }

    /// Whether `token` is in the comma-separated lists of that name (as in `Connection` and
    /// `Upgrade`), over all its lines and whatever the case of the letters.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .flat_map(|(_, value)| value.split(','))
            .any(|item| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
    }

    /// Names as they were sent, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let line = (
                &self.text[start..ends.name],
                &self.text[ends.name..ends.value],
            );
            start = ends.value;
            line
        })
    }
}

impl std::fmt::Debug for Headers {
    /// Names alone: values hold tokens, and no log may.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}
