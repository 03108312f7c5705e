// An OpenID provider on this machine, by the npm package `oidc-provider`, with the clients that the test names.
// Reads {"clients": […]} from its standard input, prints its address, and ends when its standard input does.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { Provider } from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.once('line', (line) => {
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    server.on('request', new Provider(issuer, configuration(JSON.parse(line))).callback());
    console.log(issuer);
  });
});

function configuration({ clients }) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    clients,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'first' }] },
    cookies: { keys: ['only for this test'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'SecurityAlert.Read.All',
          audience: resource,
          accessTokenTTL: 3600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  };
}
