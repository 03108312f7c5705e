"""MSAL for Python with a device code, entered in a browser; then its refresh token."""

import msal
import world

app = msal.PublicClientApplication(world.CLIENT_ID, authority=world.AUTHORITY)
flow = app.initiate_device_flow([world.ALERTS])
assert flow["verification_uri"] == "https://microsoft.com/devicelogin", flow
page = world.browse(flow["verification_uri"], otc=flow["user_code"])
assert "You have signed in" in page, page
token = world.check(app.acquire_token_by_device_flow(flow))
renewed = app.acquire_token_silent([world.ALERTS], account=app.get_accounts()[0], force_refresh=True)
assert world.check(renewed) != token
