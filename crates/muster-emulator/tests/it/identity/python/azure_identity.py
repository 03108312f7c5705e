"""azure-identity: client secret, certificate, and managed identity of a virtual machine and of App Service."""

import os

import world
from azure.identity import CertificateCredential, ClientSecretCredential, ManagedIdentityCredential

SCOPE = "https://graph.microsoft.com/.default"
secret = ClientSecretCredential(world.TENANT, world.CLIENT_ID, world.SECRET)
assert len(world.fetch_alerts(secret.get_token(SCOPE).token)) == 5
certificate = CertificateCredential(world.TENANT, world.CLIENT_ID, certificate_path=os.environ["PEM_FILE"])
assert len(world.fetch_alerts(certificate.get_token(SCOPE).token)) == 5
machine = ManagedIdentityCredential()
assert machine.get_token("https://vault.azure.net/.default").token
chosen = ManagedIdentityCredential(client_id=os.environ["USER_ASSIGNED"])
assert chosen.get_token("https://vault.azure.net/.default").token
os.environ["IDENTITY_ENDPOINT"] = "https://login.microsoftonline.com/msi/token"
os.environ["IDENTITY_HEADER"] = os.environ["SECRET_HEADER"]
service = ManagedIdentityCredential()
assert service.get_token("https://vault.azure.net/.default").token
