"""A token of each kind for each API, and what it reads there: an app's and a person's, of v1 and of v2, from MSAL, from
azure-identity, and from the plain requests of Microsoft's pages."""

import json
import urllib.parse
import urllib.request

import msal
import requests
import world
from azure.identity import ClientSecretCredential

GRAPH = "https://graph.microsoft.com"
ENDPOINT = "https://api.securitycenter.microsoft.com"
XDR = "https://api.security.microsoft.com"
REDIRECT = "https://portal.azure.com"
QUERY = "range x from 1 to 3 step 1"
# The API, a permission that a person gives it, and a call: its path, its body, and the list in its answer.
CALLS = (
    (GRAPH, "SecurityAlert.Read.All", "/v1.0/security/alerts_v2?$top=5", None, "value"),
    (GRAPH, "SecurityIncident.Read.All", "/v1.0/security/incidents?$top=5", None, "value"),
    (GRAPH, "ThreatHunting.Read.All", "/v1.0/security/runHuntingQuery", {"Query": QUERY}, "results"),
    (ENDPOINT, "Alert.Read", "/api/alerts?$top=5", None, "value"),
    (XDR, "Incident.Read", "/api/incidents?$top=5", None, "value"),
    (XDR, "AdvancedHunting.Read", "/api/advancedhunting/run", {"Query": QUERY}, "Results"),
)


def read(token, api, path, body, part):
    """How many records a call answers with."""
    request = urllib.request.Request(api + path, data=json.dumps(body).encode() if body else None)
    request.add_header("Authorization", "Bearer " + token)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return len(json.load(answer)[part])


def form(address, **fields):
    """What a token endpoint answers to a form."""
    data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data)) as answer:
        return json.load(answer)["access_token"]


def app_v1(api, _permission):
    # As the partner page's PowerShell sends it.
    address = "https://login.windows.net/%s/oauth2/token" % world.TENANT
    return form(
        address,
        resource=api,
        client_id=world.CLIENT_ID,
        client_secret=world.SECRET,
        grant_type="client_credentials",
    )


def app_v2_msal(api, _permission):
    app = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential=world.SECRET)
    answer = app.acquire_token_for_client([api + "/.default"])
    assert "access_token" in answer, answer
    return answer["access_token"]


def app_v2_azure_identity(api, _permission):
    return ClientSecretCredential(world.TENANT, world.CLIENT_ID, world.SECRET).get_token(api + "/.default").token


def person_v1(api, _permission):
    # As the script of the page for providers does: a code in a browser, then a form.
    asked = urllib.parse.urlencode(
        {
            "prompt": "select_account",
            "response_type": "code",
            "client_id": world.CLIENT_ID,
            "redirect_uri": REDIRECT,
            "resource": api,
        }
    )
    back = world.browse(world.AUTHORITY + "/oauth2/authorize?" + asked)
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["code"][0]
    return form(
        world.AUTHORITY + "/oauth2/token?",
        grant_type="authorization_code",
        client_id=world.CLIENT_ID,
        code=code,
        redirect_uri=REDIRECT,
        resource=api,
        client_secret=world.SECRET,
    )


def person_v2_msal(api, permission):
    app = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential=world.SECRET)
    flow = app.initiate_auth_code_flow([api + "/" + permission], redirect_uri=REDIRECT)
    back = world.browse(flow["auth_uri"])
    answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
    answer = app.acquire_token_by_auth_code_flow(flow, answer)
    assert "access_token" in answer, answer
    return answer["access_token"]


for api, permission, path, body, part in CALLS:
    counts = [
        (way.__name__, read(way(api, permission), api, path, body, part))
        for way in (app_v1, app_v2_msal, app_v2_azure_identity, person_v1, person_v2_msal)
    ]
    print(api + path, counts)
    assert all(count == counts[0][1] > 0 for _, count in counts), (path, counts)
    # A token of another API opens nothing here.
    other = app_v1(XDR if api == GRAPH else GRAPH, None)
    method = "POST" if body else "GET"
    refused = requests.request(method, api + path, json=body, headers={"Authorization": "Bearer " + other})
    assert refused.status_code == 401, (path, refused.status_code, refused.text)
