"""MSAL for Python with a client secret."""

import msal
import world

app = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential=world.SECRET)
world.check(app.acquire_token_for_client(["https://graph.microsoft.com/.default"]))
assert app.acquire_token_for_client(["https://graph.microsoft.com/.default"])["token_source"] == "cache"
wrong = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential="wrong")
result = wrong.acquire_token_for_client(["https://graph.microsoft.com/.default"])
assert result["error"] == "invalid_client" and result["error_codes"] == [7000215], result
