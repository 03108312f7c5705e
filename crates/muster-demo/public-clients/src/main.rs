//! The fastest way that two public clients offer to publish durably, for comparison: async-nats (NATS's own, for
//! JetStream) and lapin (AMQP, publisher confirms). Publishes COUNT messages of SIZE bytes, of which 500 may be
//! unanswered at a time as with `nats bench`, and prints the seconds from the first to the last answer.
//!
//! `public-clients nats URL SUBJECT COUNT SIZE`, `public-clients amqp URL QUEUE COUNT SIZE`.

use std::collections::VecDeque;
use std::error::Error;
use std::future::IntoFuture as _;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};

const UNANSWERED_MAX: usize = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, which, url, place, count, size] = &arguments[..] else {
        return Err("public-clients nats|amqp URL PLACE COUNT SIZE".into());
    };
    let (count, size) = (count.parse()?, size.parse()?);
    let seconds = match which.as_str() {
        "nats" => nats(url, place, count, size).await?,
        "amqp" => amqp(url, place, count, size).await?,
        other => return Err(format!("no client for `{other}`").into()),
    };
    println!("{seconds}");
    Ok(())
}

/// With a `Nats-Msg-Id`, as Muster sends it: the server looks for doubles then.
async fn nats(url: &str, subject: &str, count: usize, size: usize) -> Result<f64, Box<dyn Error>> {
    let context = async_nats::jetstream::new(async_nats::connect(url).await?);
    let body = PublishMessage::build().payload(vec![b'x'; size].into());
    let run = std::process::id();
    let (began, mut unanswered) = (Instant::now(), VecDeque::new());
    for number in 0..count {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{run}-{number}").as_str());
        unanswered.push_back(context.send_publish(subject.to_owned(), body.clone().headers(headers)).await?);
        if unanswered.len() > UNANSWERED_MAX
            && let Some(oldest) = unanswered.pop_front()
        {
            oldest.into_future().await?;
        }
    }
    for answer in unanswered {
        answer.into_future().await?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Persistent messages to a durable queue, by the default exchange.
async fn amqp(url: &str, queue: &str, count: usize, size: usize) -> Result<f64, Box<dyn Error>> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = vec![b'x'; size];
    let (began, mut unanswered) = (Instant::now(), VecDeque::new());
    for number in 0..count {
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_message_id(number.to_string().into());
        let options = BasicPublishOptions::default();
        let published = channel.basic_publish("".into(), queue.into(), options, &body, properties);
        unanswered.push_back(published.await?);
        if unanswered.len() > UNANSWERED_MAX
            && let Some(oldest) = unanswered.pop_front()
        {
            is_taken(oldest.await?)?;
        }
    }
    for answer in unanswered {
        is_taken(answer.await?)?;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn is_taken(confirmation: Confirmation) -> Result<(), Box<dyn Error>> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        other => Err(format!("not taken: {other:?}").into()),
    }
}
