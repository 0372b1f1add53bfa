// Magic Links, made as docs/magic-link.md says and put into the center by its REST API.

import { createHash } from 'node:crypto';

const PLAYBOOK = '- name: a play\n  groups: [all]\n  tasks:\n    - !echo\n      msg: hello\n';

/** Puts a Magic Link of one playbook into the center; gives its hash. */
export async function putLink(world, config) {
  const put = async (path, type, bytes) => {
    const response = await fetch(`${world.stage.center}/api/v1/${path}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${world.stage.token}`, 'content-type': type },
      body: bytes,
    });
    if (!response.ok) throw new Error(`PUT ${path}: ${response.status} ${await response.text()}`);
  };
  const blob = async (text) => {
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    await put(`blobs/${digest}`, 'application/octet-stream', text);
    return { digest, size: Buffer.byteLength(text) };
  };
  const part = 'application/vnd.keros.magic-link';
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: `${part}.v1`,
    config: { mediaType: `${part}.config.v1+json`, ...(await blob(JSON.stringify({ playbook: 'site.yml', ...config }))) },
    layers: [
      { mediaType: `${part}.file.v1`, ...(await blob(PLAYBOOK)), annotations: { 'org.opencontainers.image.title': 'site.yml' } },
    ],
  });
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
  await put(`magic-links/${digest}`, 'application/vnd.oci.image.manifest.v1+json', manifest);
  return digest;
}
