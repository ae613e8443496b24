//! Which module names which: read from the sources, as far as `use` lines and paths tell.

use std::collections::BTreeSet;
use std::path::Path;

/// A source file of a crate.
pub(crate) struct Source {
    /// Where it is, from `src/` on.
    pub(crate) file: String,
    /// The module that it is, from the crate's root on.
    pub(crate) module: Vec<String>,
    /// Whether it stands for its folder: a `mod.rs`.
    pub(crate) is_folder: bool,
    text: String,
}

/// A module names another, or something in it.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let is_folder = file.ends_with("/mod.rs");
        let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() };
        Source { file: file.to_owned(), module, is_folder, text: text.to_owned() }
    }

    /// All below a folder.
    pub(crate) fn all(folder: &Path) -> Vec<Self> {
        let (mut sources, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let names = path.strip_prefix(folder).unwrap().iter().map(|name| name.to_str().unwrap());
                    let file = names.collect::<Vec<_>>().join("/");
                    sources.push(Source::new(&file, &std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources
    }
}

/// Whether a module is there for tests only, by its name.
pub(crate) fn is_test(module: &[String]) -> bool {
    module.iter().any(|name| matches!(name.as_str(), "tests" | "interleavings" | "corpus"))
}

/// Everything that the sources name of each other.
pub(crate) fn arrows(sources: &[Source]) -> Vec<Arrow> {
    let modules: BTreeSet<&[String]> = sources.iter().map(|source| &*source.module).collect();
    let of = |source: &Source| {
        let tokens = tokens(&source.text);
        let mut reader = Reader { source, modules: &modules, tokens: &tokens, at: 0, arrows: Vec::new() };
        reader.read(&source.module);
        reader.arrows
    };
    sources.iter().filter(|source| !is_test(&source.module)).flat_map(of).collect()
}

/// A word, `::`, or a sign by itself; with its line.
struct Token {
    text: String,
    line: usize,
}

/// Takes a source apart. Comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let begin = at;
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().take_while(|&&c| c != '\n').count(),
            ['/', '*', ..] => comment(rest),
            ['"', ..] => string(rest),
            ['r', '"' | '#', ..] if raw_string(rest).is_some() => raw_string(rest).unwrap(),
            // A character; what else begins like that is a lifetime.
            ['\'', '\\', _, ..] => 3 + rest[3..].iter().take_while(|&&c| c != '\'').count() + 1,
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                tokens.push(Token { text: "::".to_owned(), line });
                2
            }
            [first, ..] if first.is_alphanumeric() || *first == '_' => {
                let word: String = rest.iter().take_while(|&&c| c.is_alphanumeric() || c == '_').collect();
                let length = word.chars().count();
                tokens.push(Token { text: word, line });
                length
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(Token { text: first.to_string(), line });
                }
                1
            }
            [] => break,
        };
        at = at.min(chars.len());
        line += chars[begin..at].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

/// How long a comment is that may have others in it.
fn comment(chars: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn string(chars: &[char]) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// How long a raw string is; `None` if it is none, but a word that begins with an `r`.
fn raw_string(chars: &[char]) -> Option<usize> {
    let hashes = chars[1..].iter().take_while(|&&c| c == '#').count();
    let from = 1 + hashes;
    if chars.get(from) != Some(&'"') {
        return None;
    }
    let ends = |at: &usize| {
        chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((from + 1..chars.len()).find(ends).map_or(chars.len(), |at| at + 1 + hashes))
}

struct Reader<'a> {
    source: &'a Source,
    modules: &'a BTreeSet<&'a [String]>,
    tokens: &'a [Token],
    at: usize,
    arrows: Vec<Arrow>,
}

impl Reader<'_> {
    fn word(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    /// Reads a module to its end: that of the file, or the brace that closes it.
    fn read(&mut self, module: &[String]) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match (self.word(0), self.word(2)) {
                ("{", _) => (depth, self.at) = (depth + 1, self.at + 1),
                ("}", _) if depth == 0 => return,
                ("}", _) => (depth, self.at) = (depth - 1, self.at + 1),
                ("mod", "{") => self.read_inner(module),
                // `use<'a, T>` says what an opaque type captures.
                ("use", _) if self.word(1) == "<" => self.at += 1,
                ("use", _) => {
                    self.at += 1;
                    self.read_tree(module, &[]);
                }
                _ => self.read_path(module),
            }
        }
    }

    /// A module within the file.
    fn read_inner(&mut self, module: &[String]) {
        let inner: Vec<String> = module.iter().cloned().chain([self.word(1).to_owned()]).collect();
        self.at += 3;
        if is_test(&inner) {
            let mut depth = 1;
            while depth > 0 && self.at < self.tokens.len() {
                depth = match self.word(0) {
                    "{" => depth + 1,
                    "}" => depth - 1,
                    _ => depth,
                };
                self.at += 1;
            }
        } else {
            self.read(&inner);
            self.at += 1;
        }
    }

    /// What follows a `use`, or a part of it between braces.
    fn read_tree(&mut self, module: &[String], before: &[String]) {
        let (mut path, line) = (before.to_vec(), self.tokens.get(self.at).map_or(0, |token| token.line));
        loop {
            match self.word(0).to_owned().as_str() {
                "{" => {
                    self.at += 1;
                    while !matches!(self.word(0), "}" | ";" | "") {
                        self.read_tree(module, &path);
                        if self.word(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "," | ";" | "}" | "" => break,
                "as" => self.at += 2,
                "::" | "*" => self.at += 1,
                word => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
            }
        }
        // `{self, Item}`: the module before it.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        self.note(module, &path, line);
    }

    /// A path in the midst of code, or something else.
    fn read_path(&mut self, module: &[String]) {
        let (line, follows) =
            (self.tokens[self.at].line, self.at > 0 && self.tokens[self.at - 1].text == "::");
        let mut path = vec![self.word(0).to_owned()];
        self.at += 1;
        while self.word(0) == "::" && self.word(1).starts_with(|c: char| c.is_alphabetic() || c == '_') {
            path.push(self.word(1).to_owned());
            self.at += 2;
        }
        if path.len() > 1 && !follows {
            self.note(module, &path, line);
        }
    }

    /// Notes the arrow of a path, if it stays in the crate.
    fn note(&mut self, module: &[String], path: &[String], line: usize) {
        let Some(to) = self.resolve(module, path) else { return };
        let (file, from) = (self.source.file.clone(), module.to_vec());
        self.arrows.push(Arrow { file, line, from, to });
    }

    fn resolve(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&module[..0], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (&module[..module.len().checked_sub(supers)?], &path[supers..]),
            name => {
                // A module beside the code goes before a crate of that name.
                let child: Vec<String> = module.iter().cloned().chain([name.to_owned()]).collect();
                if !self.modules.contains(&*child) {
                    return None;
                }
                (module, path)
            }
        };
        Some(base.iter().chain(rest).cloned().collect())
    }
}
