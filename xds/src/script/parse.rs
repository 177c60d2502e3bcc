//! Reading scripts.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, Exchange, Failure, Step};
use crate::pb::envoy::config::core::v3::Node;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use crate::pb::google::rpc::Status;
use crate::server::{Event, Variant};
use crate::{LayerBuilder, References, Resource, Snapshot, TypeUrl, Version};

/// The node that `node` stands for.
const NODE: &str = "sidecar~10.0.0.1~reviews-v1~service.consul";

pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Exchange>, Failure> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let number = place + 1;
        let line = line.trim();
        if line.is_empty() || line == "#" || line.starts_with("# ") {
            continue;
        }
        read_line(file, number, line, &mut exchanges).map_err(|message| Failure {
            place: format!("{file}:{number}"),
            sentence: "the script can be read".into(),
            message: format!("  {message}: {line:?}"),
        })?;
    }
    Ok(exchanges)
}

fn read_line(file: &str, line: usize, text: &str, exchanges: &mut Vec<Exchange>) -> Result<(), String> {
    if let Some(title) = text.strip_prefix("## ") {
        let (sentence, variant) = read_title(title)?;
        exchanges.push(Exchange {
            file: file.into(),
            line,
            sentence,
            variant,
            steps: Vec::new(),
        });
        return Ok(());
    }
    let exchange = exchanges
        .last_mut()
        .ok_or("a line before the first sentence (## ...)")?;
    let (mark, rest) = text
        .split_once(' ')
        .ok_or("a mark (= > + <) and a space are missing")?;
    let rest = rest.trim();
    let action = match mark {
        "=" => Action::Happens(Event::Snapshot(Arc::new(read_snapshot(rest)?))),
        ">" => Action::Happens(match exchange.variant {
            Variant::Sotw => Event::Sotw(Box::new(read_sotw(rest)?)),
            Variant::Delta => Event::Delta(Box::new(read_delta(rest)?)),
        }),
        "+" => Action::Passes(read_seconds(rest)?),
        "<" => {
            let step = exchange
                .steps
                .last_mut()
                .ok_or("an output before the first event")?;
            step.expected.push(rest.into());
            return Ok(());
        }
        _ => return Err(format!("unknown mark {mark:?}, want = > + or <")),
    };
    exchange.steps.push(Step {
        line,
        action,
        expected: Vec::new(),
    });
    Ok(())
}

fn read_title(title: &str) -> Result<(String, Variant), String> {
    for (ending, variant) in [("[sotw]", Variant::Sotw), ("[delta]", Variant::Delta)] {
        if let Some(sentence) = title.strip_suffix(ending) {
            return Ok((sentence.trim().into(), variant));
        }
    }
    Err("a sentence ends with [sotw] or [delta]".into())
}

fn read_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "want seconds, as in + 5s".into())
}

/// `1 | cds a=1>a b=1 | eds a=1`
fn read_snapshot(text: &str) -> Result<Snapshot, String> {
    let mut parts = text.split('|').map(str::trim);
    let generation = parts
        .next()
        .and_then(|number| number.parse().ok())
        .ok_or("a generation is missing")?;
    let mut layer = LayerBuilder::new(None);
    for part in parts {
        let mut words = part.split_whitespace();
        let kind = read_kind(words.next().unwrap_or_default())?;
        for word in words {
            layer.insert(Arc::new(read_resource(kind, word)?));
        }
    }
    Ok(Snapshot::new(generation, vec![layer.build()]))
}

/// `l=1>a,@r`
fn read_resource(kind: TypeUrl, word: &str) -> Result<Resource, String> {
    let (name, rest) = word
        .split_once('=')
        .ok_or_else(|| format!("{word:?} is not NAME=CONTENT"))?;
    let (content, named) = rest.split_once('>').unwrap_or((rest, ""));
    let named: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    let references = if kind == TypeUrl::Cluster {
        References::endpoints(named)
    } else {
        let routes = named.iter().filter_map(|name| name.strip_prefix('@'));
        References::clusters(named.iter().filter(|name| !name.starts_with('@'))).and_routes(routes)
    };
    Ok(Resource::from_bytes(kind, name, content.as_bytes(), references))
}

fn read_kind(word: &str) -> Result<TypeUrl, String> {
    TypeUrl::from_short(word)
        .ok_or_else(|| format!("unknown type {word:?}, want cds eds lds rds vhds or sds"))
}

/// What requests of both variants have in common.
struct Asked<'a> {
    type_url: String,
    node: Option<Node>,
    nonce: String,
    error: Option<Status>,
    words: Vec<&'a str>,
}

fn read_asked(text: &str) -> Result<Asked<'_>, String> {
    let (text, error) = match text.split_once("nack=") {
        Some((before, reason)) => (before, Some(refusal(reason.trim().trim_matches('"')))),
        None => (text, None),
    };
    let mut words = text.split_whitespace();
    let first = words.next().ok_or("a type is missing")?;
    let type_url = match first.strip_prefix("url=") {
        Some(url) => url.into(),
        None => read_kind(first)?.url().into(),
    };
    let mut asked = Asked {
        type_url,
        node: None,
        nonce: String::new(),
        error,
        words: Vec::new(),
    };
    for word in words {
        if word == "node" {
            asked.node = Some(Node {
                id: NODE.into(),
                ..Node::default()
            });
        } else if let Some(id) = word.strip_prefix("node=") {
            asked.node = Some(Node {
                id: id.into(),
                ..Node::default()
            });
        } else if let Some(nonce) = word.strip_prefix("nonce=") {
            asked.nonce = nonce.into();
        } else {
            asked.words.push(word);
        }
    }
    Ok(asked)
}

fn refusal(reason: &str) -> Status {
    Status {
        code: 3,
        message: reason.to_owned(),
        details: Vec::new(),
    }
}

fn read_sotw(text: &str) -> Result<DiscoveryRequest, String> {
    let asked = read_asked(text)?;
    Ok(DiscoveryRequest {
        type_url: asked.type_url,
        node: asked.node,
        resource_names: asked.words.into_iter().map(Into::into).collect(),
        response_nonce: asked.nonce,
        error_detail: asked.error,
        ..DiscoveryRequest::default()
    })
}

fn read_delta(text: &str) -> Result<DeltaDiscoveryRequest, String> {
    let asked = read_asked(text)?;
    let mut request = DeltaDiscoveryRequest {
        type_url: asked.type_url,
        node: asked.node,
        response_nonce: asked.nonce,
        error_detail: asked.error,
        ..DeltaDiscoveryRequest::default()
    };
    for word in asked.words {
        if let Some(name) = word.strip_prefix('+') {
            request.resource_names_subscribe.push(name.into());
        } else if let Some(name) = word.strip_prefix('-') {
            request.resource_names_unsubscribe.push(name.into());
        } else if let Some((name, content)) = word.strip_prefix("have:").and_then(|had| had.split_once('=')) {
            let version = if content == "?" {
                "v1".into()
            } else {
                Version::of(content.as_bytes()).to_string()
            };
            request.initial_resource_versions.insert(name.into(), version);
        } else {
            return Err(format!("{word:?} is none of +NAME, -NAME and have:NAME=CONTENT"));
        }
    }
    Ok(request)
}
