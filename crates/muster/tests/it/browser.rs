//! A real browser walks through onboarding: in each language, on a phone and by keyboard alone, with scripts switched off.
//!
//! Screenshots of every page are left in `<target>/screenshots/`. Skipped, and says so, where `.ci/install-peers` has not
//! been run; with `MUSTER_REQUIRE_PEERS=1` that is a failure.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use muster::web::language::Language;
use muster_emulator::{Config, DirectoryChange};
use muster_microsoft::entra::consent::ConsentForm;
use muster_model::Clock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::onboarding::{House, empty};

/// The tabulator and enter keys of WebDriver.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// A browser, driven by WebDriver.
struct Browser {
    client: Client,
    driver: Child,
    _profile: TempDir,
}

/// What the browser is shown on.
#[derive(Clone, Copy)]
struct Device {
    name: &'static str,
    width: u32,
    height: u32,
    phone: bool,
    dark: bool,
}

const DESKTOP: Device = Device { name: "desktop", width: 1_100, height: 900, phone: false, dark: false };
const DESKTOP_DARK: Device = Device { name: "desktop-dark", dark: true, ..DESKTOP };
const PHONE: Device = Device { name: "phone", width: 390, height: 844, phone: true, dark: false };
const PHONE_DARK: Device = Device { name: "phone-dark", dark: true, ..PHONE };

impl Browser {
    /// Starts one; `None`, and a word about it, where none is installed.
    async fn start(device: Device, language: Language) -> Option<Self> {
        let (browser, driver) = (Path::new("/usr/bin/chromium"), Path::new("/usr/bin/chromedriver"));
        if !browser.exists() || !driver.exists() {
            #[expect(clippy::disallowed_methods, reason = "a test asks how it is run")]
            let required = std::env::var("MUSTER_REQUIRE_PEERS").is_ok_and(|value| value == "1");
            assert!(!required, "no browser is installed: run .ci/install-peers");
            eprintln!("skipped: no browser is installed; .ci/install-peers does it");
            return None;
        }
        let profile = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the driver starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let port = loop {
            let line = lines.next_line().await.expect("readable").expect("the driver tells its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--window-size={},{}", device.width, device.height),
        ];
        if device.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let options = json!({
            "binary": browser,
            "args": arguments,
            // No page may need a script.
            "prefs": {
                "profile.managed_default_content_settings.javascript": 2,
                "intl.accept_languages": language.tag(),
            },
        });
        let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object was written") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        let browser = Self { client, driver: child, _profile: profile };
        if device.phone {
            let screen = json!({
                "width": device.width, "height": device.height, "deviceScaleFactor": 1, "mobile": false,
            });
            browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        }
        Some(browser)
    }

    async fn open(&self, address: &str) {
        self.client.goto(address).await.expect("it opens");
    }

    async fn heading(&self) -> String {
        let heading = self.client.find(Locator::Css("h1")).await.expect("a heading");
        heading.text().await.expect("a text")
    }

    /// The element, once it is there: a click returns before the next page has come.
    async fn find(&self, css: &str) -> Element {
        let wait = self.client.wait().at_most(Duration::from_secs(60));
        wait.for_element(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    async fn click(&self, css: &str) {
        self.find(css).await.click().await.expect("it can be clicked");
    }

    async fn write(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.expect("it can be written into");
    }

    /// Waits until the page's heading is this, as people wait: the page asks again by itself.
    async fn wait_for(&self, heading: &str) {
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            // While a page is being left there is no heading.
            let found = match self.client.find(Locator::Css("h1")).await {
                Ok(found) => found.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if found == heading {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "{found:?} instead of {heading:?}");
        }
    }

    /// Presses a key where the focus is.
    async fn press(&self, key: char) {
        let mut keys = KeyActions::new("keyboard".to_owned());
        keys = keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        self.client.perform_actions(keys).await.expect("a key can be pressed");
    }

    async fn type_keys(&self, text: &str) {
        for key in text.chars() {
            self.press(key).await;
        }
    }

    /// Tabs until the focus is on what this selects, and it can be seen there.
    async fn tab_to(&self, css: &str) {
        for _ in 0..40 {
            let active = self.client.active_element().await.expect("something has the focus");
            let wanted =
                self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"));
            if active.element_id() == wanted.element_id() {
                let outline = active.css_value("outline-style").await.expect("a style");
                let width = active.css_value("outline-width").await.expect("a style");
                assert!(outline == "solid" && width != "0px", "{css}: where the focus is cannot be seen");
                return;
            }
            self.press(TAB).await;
        }
        panic!("{css} cannot be reached by keyboard");
    }

    /// The whole page as a picture.
    async fn picture(&self, device: Device, name: &str) {
        let folder = screenshots();
        std::fs::create_dir_all(&folder).expect("a folder");
        let overflow = self.wider_than_the_window().await;
        let layout = self.devtools("Page.getLayoutMetrics", json!({})).await;
        let size = &layout["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", wanted).await;
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("Base64");
        std::fs::write(folder.join(format!("{name}-{}.png", device.name)), picture).expect("written");
        assert!(!overflow, "{name} on {}: the page is wider than the window", device.name);
    }

    async fn wider_than_the_window(&self) -> bool {
        let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        self.client.execute(script, Vec::new()).await.expect("it can be asked") == Value::Bool(true)
    }

    /// A command of Chromium's own protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = DevTools { command: command.to_owned(), parameters };
        self.client.issue_cmd(command).await.expect("the browser does it")
    }

    async fn close(mut self) {
        self.client.close().await.expect("it closes");
        self.driver.kill().await.expect("it ends");
    }
}

#[derive(Debug)]
struct DevTools {
    command: String,
    parameters: Value,
}

impl fantoccini::wd::WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (axum::http::Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (axum::http::Method::POST, Some(body.to_string()))
    }
}

fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("screenshots")
}

/// Words of a language that the test looks for on its pages.
fn words(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::English => ("Contoso Ltd", "Everything works"),
        Language::German => ("Contoso GmbH", "Alles funktioniert"),
        Language::Swedish => ("Contoso AB", "Allt fungerar"),
        Language::Dutch => ("Contoso B.V.", "Alles werkt"),
        Language::SimplifiedChinese => ("康托索有限公司", "一切正常"),
    }
}

/// A house whose consents are proven by themselves, as `muster run` does.
async fn lived_in(tenants: usize) -> (House, JoinSet<()>, CancellationToken) {
    let house = House::open(Config { tenants, ..empty() }, ConsentForm::V2AdminConsent).await;
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(std::sync::Arc::clone(&house.onboarding).run(stop.clone()));
    (house, tasks, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_walks_through_onboarding_in_each_language() {
    let (house, mut tasks, stop) = lived_in(Language::ALL.len()).await;
    let devices = [DESKTOP, PHONE, DESKTOP_DARK, PHONE_DARK, PHONE];
    for (index, language) in Language::ALL.into_iter().enumerate() {
        let device = devices[index];
        let Some(browser) = Browser::start(device, Language::English).await else { return };
        let (customer, done) = words(language);
        let invited = house.invite_tenant(index, customer, Some(language)).await;
        let admin = format!("admin@{}", house.emulator.tenants()[index].domain);
        browser.open(&invited.link).await;
        let html = browser.client.find(Locator::Css("html")).await.expect("a page");
        assert_eq!(html.attr("lang").await.expect("an attribute").as_deref(), Some(language.tag()));
        assert!(browser.heading().await.contains(customer));
        let main = browser.client.find(Locator::Css("main")).await.expect("a page");
        assert_eq!(main.css_value("max-width").await.expect("a style"), "704px", "the style is used");
        browser.picture(device, &format!("landing-{language}")).await;
        browser.click("form.go button").await;
        browser.write("#account", &admin).await;
        browser.write("#password", &house.emulator.password(&admin).expect("a password")).await;
        if index == 0 {
            browser.picture(device, "microsoft-sign-in").await;
        }
        browser.click("#sign-in").await;
        if index == 0 {
            browser.picture(device, "microsoft-consent").await;
        }
        browser.click("#accept").await;
        browser.wait_for(done).await;
        let marks = browser.client.find_all(Locator::Css(".steps li.good")).await.expect("checks");
        assert_eq!(marks.len(), 3, "every check is green");
        browser.picture(device, &format!("done-{language}")).await;
        browser.close().await;
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_alone_is_enough() {
    let (house, mut tasks, stop) = lived_in(1).await;
    let Some(browser) = Browser::start(DESKTOP, Language::English).await else { return };
    let invited = house.invite_tenant(0, "Contoso Ltd", None).await;
    let admin = format!("admin@{}", house.emulator.tenants()[0].domain);
    browser.open(&invited.link).await;
    browser.press(TAB).await;
    let first = browser.client.active_element().await.expect("something has the focus");
    assert_eq!(first.attr("href").await.expect("an attribute").as_deref(), Some("#content"));
    assert!(first.rectangle().await.expect("a place").0 >= 0.0, "the way past the languages is seen");
    browser.tab_to("nav a[hreflang=nl]").await;
    browser.press(ENTER).await;
    browser
        .wait_for("Northwind Security vraagt om de beveiligingswaarschuwingen van Contoso Ltd te mogen lezen")
        .await;
    browser.tab_to("form.go button").await;
    browser.picture(DESKTOP, "keyboard-focus").await;
    browser.press(ENTER).await;
    browser.wait_for("Sign in").await;
    browser.tab_to("#account").await;
    browser.type_keys(&admin).await;
    browser.press(TAB).await;
    browser.type_keys(&house.emulator.password(&admin).expect("a password")).await;
    browser.press(ENTER).await;
    browser.find("#accept").await;
    browser.tab_to("#accept").await;
    browser.press(ENTER).await;
    browser.wait_for("Alles werkt").await;
    browser.close().await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_shown_as_clearly() {
    let (house, mut tasks, stop) = lived_in(2).await;
    let Some(browser) = Browser::start(PHONE, Language::German).await else { return };
    let invited = house.invite_tenant(0, "Contoso GmbH", Some(Language::German)).await;
    let facts = house.emulator.tenants()[0].clone();
    let admin = format!("admin@{}", facts.domain);
    browser.open(&invited.link).await;
    browser.click("form.go button").await;
    browser.write("#account", &admin).await;
    browser.write("#password", &house.emulator.password(&admin).expect("a password")).await;
    browser.click("#sign-in").await;
    browser.click("#cancel").await;
    browser.find(".notice").await;
    browser.picture(PHONE, "declined-de").await;

    browser.click("form.go button").await;
    // Microsoft remembers who signed in, and may ask which account it is.
    browser.find("#accept, form button.main").await;
    if browser.client.find(Locator::Css("#accept")).await.is_err() {
        browser.click("form button[value=other]").await;
        browser.write("#account", &admin).await;
        browser.write("#password", &house.emulator.password(&admin).expect("a password")).await;
        browser.click("#sign-in").await;
    }
    browser.click("#accept").await;
    browser.wait_for("Alles funktioniert").await;
    let change = DirectoryChange::EnableApp { app: None, tenant: Some(facts.id.clone()), enabled: false };
    house.emulator.change(change).expect("disabled");
    house.onboarding.attempt(facts.id.parse().expect("an id"), house.clock.now()).await.expect("it answers");
    browser.open(&invited.link).await;
    browser.wait_for("Etwas ist noch zu klären").await;
    browser.picture(PHONE, "attention-de").await;
    browser.open(&format!("http://{}/onboard/nonsense?lang=de", house.address)).await;
    browser.wait_for("Dieser Link ist ungültig").await;
    browser.picture(PHONE, "unknown-de").await;
    browser.close().await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}
