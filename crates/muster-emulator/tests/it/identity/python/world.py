"""What a program needs to know of the emulator, and a person with a browser."""

import html.parser
import json
import os
import urllib.parse
import urllib.request

import requests

TENANT = os.environ["TENANT"]
CLIENT_ID = os.environ["CLIENT_ID"]
SECRET = os.environ["SECRET"]
ACCOUNT = os.environ["ACCOUNT"]
PASSWORD = os.environ["PASSWORD"]
AUTHORITY = "https://login.microsoftonline.com/" + TENANT
ALERTS = "https://graph.microsoft.com/SecurityAlert.Read.All"


def fetch_alerts(token):
    """Reads a page of alerts with a token."""
    request = urllib.request.Request("https://graph.microsoft.com/v1.0/security/alerts_v2?$top=5")
    request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["value"]


def check(result):
    """The token of an answer of MSAL, after it fetched alerts."""
    assert "access_token" in result, result
    assert len(fetch_alerts(result["access_token"])) == 5
    return result["access_token"]


class Form(html.parser.HTMLParser):
    """The one form of a page."""

    def __init__(self, text):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.action = attributes["action"]
        if tag == "input" and "name" in attributes and attributes.get("type") != "checkbox":
            self.fields[attributes["name"]] = attributes.get("value") or ""


def browse(address, **typed):
    """Goes through pages, typing what they ask for, until an application is called back; gives that address, or the
    last page's text when no application is."""
    browser = requests.Session()
    answer = browser.get(address, allow_redirects=False)
    for _ in range(8):
        if answer.status_code == 302:
            return answer.headers["Location"]
        form = Form(answer.text)
        if form.action is None:
            return answer.text
        known = {"loginfmt": ACCOUNT, "passwd": PASSWORD, **typed}
        fields = {name: known.get(name, value) for name, value in form.fields.items()}
        fields["decision"] = "accept"
        target = urllib.parse.urljoin(answer.url, form.action)
        answer = browser.post(target, data=fields, allow_redirects=False)
    raise AssertionError("the pages have no end")
