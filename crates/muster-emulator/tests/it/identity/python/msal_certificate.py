"""MSAL for Python with a certificate: by its SHA-1 thumbprint, and by the certificate itself (SHA-256, PSS)."""

import os

import msal
import world

with open(os.environ["KEY_FILE"]) as file:
    key = file.read()
with open(os.environ["CERTIFICATE_FILE"]) as file:
    certificate = file.read()
for credential in (
    {"private_key": key, "thumbprint": os.environ["THUMBPRINT"]},
    {"private_key": key, "public_certificate": certificate},
):
    app = msal.ConfidentialClientApplication(world.CLIENT_ID, authority=world.AUTHORITY, client_credential=credential)
    world.check(app.acquire_token_for_client(["https://graph.microsoft.com/.default"]))
