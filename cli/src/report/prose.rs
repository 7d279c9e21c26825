//! The book's words as HTML: Markdown or LaTeX with formulas set as MathML, which browsers draw by themselves.
//!
//! The book is untrusted: raw HTML becomes text, links keep only harmless schemes, pictures become their
//! caption, so that the page asks nothing of the network. A formula that cannot be set stays as its source.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{RenderConfig, Storage};

/// A passage of the book as HTML.
pub fn html(text: &str) -> String {
    let markdown = from_latex(text);
    let options = Options::ENABLE_MATH | Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(&markdown, options).map(|event| match event {
        Event::InlineMath(source) => Event::InlineHtml(math(&source, DisplayMode::Inline).into()),
        Event::DisplayMath(source) => Event::InlineHtml(math(&source, DisplayMode::Block).into()),
        Event::Html(source) | Event::InlineHtml(source) => Event::Text(source),
        Event::Start(Tag::Image { .. }) => Event::Text("[picture: ".into()),
        Event::End(TagEnd::Image) => Event::Text("]".into()),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = destination(dest_url);
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        // Headings of the book would tear the page's own outline.
        Event::Start(Tag::Heading { .. }) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::Heading(_)) => Event::End(TagEnd::Paragraph),
        other => other,
    });
    let mut page = String::new();
    html::push_html(&mut page, events);
    page
}

/// Where a link of the book leads: the web, or a target of this page. Links between the book's own files
/// (`02-sums.md#gauss`) keep their label, since all chapters stand on one page.
fn destination(url: CowStr<'_>) -> CowStr<'_> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return url;
    }
    match url.split_once('#') {
        Some((file, label)) if !file.contains(':') => format!("#{label}").into(),
        _ => "#".into(),
    }
}

/// One formula as MathML, or as its source when the formula is beyond the converter.
fn math(source: &str, display_mode: DisplayMode) -> String {
    let storage = Storage::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    let mut mathml = String::new();
    let parser = pulldown_latex::Parser::new(source, &storage);
    let set = pulldown_latex::push_mathml(&mut mathml, parser, config).is_ok() && !mathml.contains("<merror");
    if set {
        return mathml;
    }
    let mut html = String::from("<code class=tex>");
    super::escape_into(&mut html, source);
    html.push_str("</code>");
    html
}

/// LaTeX's commonest text commands as Markdown; text that is Markdown already has none of them.
fn from_latex(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut lists: Vec<bool> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '$', '~']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(length) = formula(rest) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if let Some((markdown, length)) = command(rest, &mut lists) {
            out.push_str(&markdown);
            rest = &rest[length..];
        } else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// Length of the `$…$` or `$$…$$` that `rest` begins with.
fn formula(rest: &str) -> Option<usize> {
    let fence = if rest.starts_with("$$") { "$$" } else { "$" };
    let inner = rest.strip_prefix(fence)?;
    Some(fence.len() + inner.find(fence)? + fence.len())
}

/// The Markdown of the LaTeX command that `rest` begins with, and the command's length.
fn command(rest: &str, lists: &mut Vec<bool>) -> Option<(String, usize)> {
    for (open, close, fence) in [("\\(", "\\)", "$"), ("\\[", "\\]", "$$")] {
        if let Some(inner) = rest.strip_prefix(open) {
            let end = inner.find(close)?;
            return Some((format!("{fence}{}{fence}", inner[..end].trim()), open.len() + end + close.len()));
        }
    }
    for (name, open, close) in [
        ("\\emph{", "*", "*"),
        ("\\textit{", "*", "*"),
        ("\\textbf{", "**", "**"),
        ("\\texttt{", "`", "`"),
        ("\\label{", "", ""),
        ("\\cite{", "[", "]"),
    ] {
        if let Some(inner) = rest.strip_prefix(name) {
            let end = inner.find('}')?;
            let text = if name == "\\label{" { "" } else { &inner[..end] };
            return Some((format!("{open}{text}{close}"), name.len() + end + 1));
        }
    }
    for name in ["\\ref{", "\\cref{", "\\Cref{", "\\autoref{", "\\eqref{"] {
        if let Some(inner) = rest.strip_prefix(name) {
            let end = inner.find('}')?;
            let id = atlas_book::label(&inner[..end]);
            return Some((format!("[{id}](#{id})"), name.len() + end + 1));
        }
    }
    // A tie: a space that no line breaks at.
    if rest.starts_with('~') && !rest.starts_with("~~") {
        return Some(("\u{a0}".into(), 1));
    }
    for (name, numbered) in [("enumerate", true), ("itemize", false)] {
        let begin = format!("\\begin{{{name}}}");
        if rest.starts_with(&begin) {
            lists.push(numbered);
            return Some(("\n\n".into(), begin.len()));
        }
        let end = format!("\\end{{{name}}}");
        if rest.starts_with(&end) {
            lists.pop();
            return Some(("\n\n".into(), end.len()));
        }
    }
    for name in ["align*", "align", "equation*", "equation", "gather*", "gather"] {
        let begin = format!("\\begin{{{name}}}");
        if rest.starts_with(&begin) {
            let close = format!("\\end{{{name}}}");
            let end = rest.find(&close)? + close.len();
            return Some((format!("$${}$$", &rest[..end]), end));
        }
    }
    if rest.starts_with("\\item") {
        let bullet = if lists.last().copied().unwrap_or(false) { "1. " } else { "- " };
        return Some((format!("\n{bullet}"), "\\item".len()));
    }
    rest.starts_with("\\\\").then(|| ("  \n".into(), 2))
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn formulas_become_mathml_and_what_cannot_be_set_stays_as_source() {
        assert!(html("For all $n \\le m^2$ in $\\mathbb{N}$.").matches("<math").count() == 2);
        assert!(html("Then $\\undefinedmacro{x}$.").contains("<code class=tex>\\undefinedmacro{x}</code>"));
    }

    #[test]
    fn latex_text_commands_are_set() {
        let page = html(
            "An \\emph{even} number\\label{x} \\begin{enumerate}\\item one \\item two\\end{enumerate} with \\(a+b\\).",
        );
        let page_with_reference = html("By Lemma~\\ref{lem:one}, \\emph{all}.");
        assert!(
            page_with_reference.contains("Lemma\u{a0}<a href=\"#lem-one\">lem-one</a>"),
            "{page_with_reference}"
        );
        assert!(page.contains("<em>even</em>") && page.contains("<li>") && page.contains("<math"), "{page}");
    }

    #[test]
    fn the_book_cannot_script_or_phone_home() {
        let page = html(
            "<script>alert(1)</script>\n\nThen ![x](https://example.org/p.png) [y](javascript:alert(1))",
        );
        assert!(
            !page.contains("<script") && !page.contains("<img") && !page.contains("javascript:"),
            "{page}"
        );
        assert!(page.contains("[picture: x]"), "{page}");
        assert!(html("[a](02-sums.md#gauss)").contains("href=\"#gauss\""));
    }
}
