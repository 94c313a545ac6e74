//! Text with `*` and `?` in it, as policies write actions, resources and values. Pure.

/// One place of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Any text.
    Many,
    /// Any one character.
    One,
    /// This character.
    Just(char),
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads one.
    pub(super) fn new(text: &str) -> Self {
        Self(text.chars().map(token).collect())
    }

    /// Reads one with variables: `${aws:username}` is what `value` says, and means just that. `None` if it says nothing.
    pub(super) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (mut tokens, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else { break };
            tokens.extend(before.chars().map(token));
            let value = match name {
                "*" | "?" | "$" => name.to_owned(),
                name => value(name)?,
            };
            tokens.extend(value.chars().map(Token::Just));
            rest = behind;
        }
        tokens.extend(rest.chars().map(token));
        Some(Self(tokens))
    }

    /// The text in which wildcards mean themselves.
    pub(super) fn text(&self) -> String {
        let shown = |token: &Token| match *token {
            Token::Many => '*',
            Token::One => '?',
            Token::Just(c) => c,
        };
        self.0.iter().map(shown).collect()
    }

    /// Whether it is that text. The time is at most the product of both lengths.
    pub(super) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut of) = (0, 0);
        // Where the last `*` stands, and how much of the text it has taken.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match (self.0.get(of), star) {
                (Some(Token::Many), _) => {
                    star = Some((of, at));
                    of += 1;
                }
                (Some(Token::One), _) => (at, of) = (at + 1, of + 1),
                (Some(Token::Just(c)), _) if *c == text[at] => (at, of) = (at + 1, of + 1),
                (_, Some((place, taken))) => {
                    star = Some((place, taken + 1));
                    (at, of) = (taken + 1, place + 1);
                }
                _ => return false,
            }
        }
        self.0[of..].iter().all(|token| *token == Token::Many)
    }
}

fn token(c: char) -> Token {
    match c {
        '*' => Token::Many,
        '?' => Token::One,
        c => Token::Just(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variables_are_taken_as_they_are() {
        let value = |name: &str| (name == "aws:username").then(|| "a*b".to_owned());
        let pattern = Pattern::expand("home/${aws:username}/*${*}", value).unwrap();
        assert!(pattern.fits("home/a*b/x*") && !pattern.fits("home/axb/x*") && !pattern.fits("home/a*b/x"));
        assert_eq!(Pattern::expand("${aws:other}", value), None);
        assert!(Pattern::expand("a${b", value).unwrap().fits("a${b"));
    }

    proptest! {
        #[test]
        fn as_a_regular_expression_would(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let oracle = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            prop_assert_eq!(Pattern::new(&pattern).fits(&text), regex::Regex::new(&oracle).unwrap().is_match(&text));
        }
    }
}
