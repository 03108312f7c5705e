"""The token request of Microsoft's page about partner access, as it is printed there, with ids and a secret."""

import world

tenantId = world.TENANT
clientId = world.CLIENT_ID
appSecret = world.SECRET

# From here on as printed.
import json
import urllib.request
import urllib.parse

url = "https://login.windows.net/%s/oauth2/token" % (tenantId)

resourceAppIdUri = 'https://api.securitycenter.windows.com'

body = {
    'resource' : resourceAppIdUri,
    'client_id' : clientId,
    'client_secret' : appSecret,
    'grant_type' : 'client_credentials'
}

data = urllib.parse.urlencode(body).encode("utf-8")

req = urllib.request.Request(url, data)
response = urllib.request.urlopen(req)
jsonResponse = json.loads(response.read())
aadToken = jsonResponse["access_token"]
# To here.

import base64

claims = aadToken.split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
assert claims["aud"] == resourceAppIdUri and claims["tid"] == tenantId, claims
assert claims["roles"] == ["Alert.Read.All"], claims
