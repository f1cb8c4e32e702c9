//! The report as one page that needs nothing beside it.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use crate::report::plots::Plot;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Two brokers side by side</title>\n<style>\n\
body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; }\n\
table { border-collapse: collapse; margin: 1em 0; }\n\
td, th { border: 1px solid #ccc; padding: 0.2em 0.6em; text-align: left; vertical-align: top; }\n\
code { background: #f3f3f3; overflow-wrap: anywhere; }\n\
svg { max-width: 100%; height: auto; }\n\
</style>\n</head>\n<body>\n";

/// Turns the Markdown into a page; plots stand where their images were.
pub fn page(markdown: &str, plots: &[Plot]) -> String {
    let mut within_image = false;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Image { dest_url, .. }) => {
            within_image = true;
            let plot = plots.iter().find(|plot| dest_url.ends_with(&plot.file()))?;
            Some(Event::Html(CowStr::from(plot.svg.clone())))
        }
        Event::End(TagEnd::Image) => {
            within_image = false;
            None
        }
        // What is said instead of an image where there are none.
        _ if within_image => None,
        other => Some(other),
    });
    let mut text = HEAD.to_owned();
    html::push_html(&mut text, events);
    text.push_str("</body>\n</html>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_tables_and_its_plots_within() {
        let plot = Plot {
            name: "curve".to_owned(),
            title: "a curve".to_owned(),
            scenario: None,
            svg: "<svg>drawn</svg>".to_owned(),
        };
        let page = page("| a | b |\n|---|---|\n| 1 < 2 | 3 |\n\n![a curve](plots/curve.svg)\n", &[plot]);
        assert!(page.contains("<td>1 &lt; 2</td>") && page.contains("<svg>drawn</svg>"), "{page}");
        assert!(!page.contains("<img") && page.ends_with("</html>\n"), "{page}");
    }
}
