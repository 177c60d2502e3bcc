//! The page itself, as HTML that needs nothing from elsewhere.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::details::Details;
use crate::productpage::Product;
use crate::reviews::{Rating, Reviews};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfaf7; --card: #fff; --line: #e2ded4; --deep: #0b5563 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e6e1; --paper: #14191f; --card: #1c232b; --line: #2d3640; --deep: #6cc3d0 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.55 Georgia, 'Times New Roman', serif }
header, main, footer { max-width: 62rem; margin: auto; padding: 1rem 1.25rem }
header { display: flex; gap: 1rem; align-items: center; justify-content: space-between;
  border-bottom: 1px solid var(--line) }
header strong { letter-spacing: .04em; color: var(--deep) }
h1 { font-size: 2.2rem; line-height: 1.15; margin: 1.2rem 0 .3rem }
.lead { max-width: 44rem; font-size: 1.1rem }
.shelf { display: grid; gap: 1.25rem; grid-template-columns: minmax(15rem, 1fr) 2fr; margin-top: 1.5rem }
@media (max-width: 45rem) { .shelf { grid-template-columns: 1fr } }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.25rem }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; color: var(--deep) }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0 }
dt { opacity: .7 }
dd { margin: 0 }
blockquote { margin: 0 0 1rem; padding: 0 0 0 .9rem; border-left: 3px solid var(--line) }
cite { display: block; font-style: normal; opacity: .7; font-size: .9rem }
.stars { letter-spacing: .12em; font-size: 1.15rem }
.stars.black { color: var(--ink) }
.stars.red { color: #c62f2f }
.missing { color: #a05a00; font-style: italic }
form { display: flex; gap: .4rem }
input, button { font: inherit; padding: .2rem .6rem; border-radius: .4rem; border: 1px solid var(--line);
  background: var(--card); color: inherit }
button { background: var(--deep); color: var(--paper); border-color: var(--deep); cursor: pointer }
footer { font-size: .85rem; opacity: .7 }
";

pub(super) fn render(
    book: &Product,
    user: Option<&str>,
    details: Option<&Details>,
    reviews: Option<&Reviews>,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (book.title) " · Bookinfo" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { strong { "Bookinfo" } (account(user)) }
                main {
                    h1 { (book.title) }
                    p.lead { (book.summary) }
                    div.shelf { (facts(details)) (opinions(reviews)) }
                }
                footer { @if let Some(reviews) = reviews { "Reviews served by " (reviews.served_by) } }
            }
        }
    }
}

fn account(user: Option<&str>) -> Markup {
    html! {
        @if let Some(name) = user {
            span { "Signed in as " b { (name) } " · " a href="/logout" { "sign out" } }
        } @else {
            form method="post" action="/login" {
                input name="username" placeholder="name, for example jason" aria-label="User name" required;
                button { "Sign in" }
            }
        }
    }
}

fn facts(details: Option<&Details>) -> Markup {
    html! {
        section {
            h2 { "Book details" }
            @if let Some(details) = details {
                dl {
                    dt { "Author" } dd { (details.author) }
                    dt { "Year" } dd { (details.year) }
                    dt { "Type" } dd { (details.r#type) }
                    dt { "Pages" } dd { (details.pages) }
                    dt { "Publisher" } dd { (details.publisher) }
                    dt { "Language" } dd { (details.language) }
                    dt { "ISBN" } dd { (details.isbn13) }
                }
            } @else {
                p.missing { "Error fetching product details: they are currently unavailable for this book." }
            }
        }
    }
}

fn opinions(reviews: Option<&Reviews>) -> Markup {
    html! {
        section {
            h2 { "Book reviews" }
            @if let Some(reviews) = reviews {
                @for review in &reviews.reviews {
                    blockquote {
                        p { (review.text) }
                        cite { (review.reviewer) }
                        @if let Some(rating) = &review.rating { (stars(rating)) }
                    }
                }
            } @else {
                p.missing { "Error fetching product reviews: they are currently unavailable for this book." }
            }
        }
    }
}

fn stars(rating: &Rating) -> Markup {
    html! {
        @match rating {
            Rating::Stars { stars, color } => {
                span class={ "stars " (color) } data-color=(color) title={ (stars) " of 5" } {
                    @for place in 1..=5u8 { @if place <= *stars { "★" } @else { "☆" } }
                }
            }
            Rating::Error(reason) => { span.missing { (reason) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reviews::Review;

    const BOOK: Product = Product {
        id: 0,
        title: "A & B",
        summary: "<script>",
    };

    #[test]
    fn text_from_other_services_is_escaped() {
        let reviews = Reviews {
            id: 0,
            served_by: "reviews-v2".into(),
            reviews: vec![Review {
                reviewer: "<b>x</b>".into(),
                text: "a < b".into(),
                rating: Some(Rating::Stars {
                    stars: 2,
                    color: "black".into(),
                }),
            }],
        };

        let page = render(&BOOK, Some("<i>"), None, Some(&reviews)).into_string();

        assert!(!page.contains("<b>x</b>") && !page.contains("<script>") && !page.contains("<i>"));
        assert!(
            page.contains("★★☆☆☆") && page.contains("data-color=\"black\""),
            "{page}"
        );
    }

    #[test]
    fn missing_neighbours_are_said_on_the_page() {
        let page = render(&BOOK, None, None, None).into_string();

        assert!(page.contains("Error fetching product details"));
        assert!(page.contains("Error fetching product reviews"));
    }
}
