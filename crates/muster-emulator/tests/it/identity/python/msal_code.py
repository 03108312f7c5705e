"""MSAL for Python with an authorisation code and PKCE, a person signing in; then its refresh token."""

import urllib.parse

import msal
import world

app = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential=world.SECRET)
flow = app.initiate_auth_code_flow([world.ALERTS], redirect_uri="https://portal.azure.com")
back = world.browse(flow["auth_uri"])
answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))
first = app.acquire_token_by_auth_code_flow(flow, answer)
token = world.check(first)
assert first["id_token_claims"]["preferred_username"] == world.ACCOUNT, first
account = app.get_accounts()[0]
assert account["username"] == world.ACCOUNT
renewed = app.acquire_token_silent([world.ALERTS], account=account, force_refresh=True)
assert world.check(renewed) != token, "the refresh token gives another"
again = app.acquire_token_by_auth_code_flow(flow, answer)
assert again["error"] == "invalid_grant" and again["error_codes"] == [54005], again
