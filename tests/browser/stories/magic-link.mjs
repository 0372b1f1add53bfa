// A Custom Magic Link the whole way: made by the command line, sent by the page, run by real gateways.

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';

import { ended, group } from '../lib/orders.mjs';

export async function a_custom_magic_link_works_only_for_gateways_that_are_declared_in_it(world) {
  const [declared, other, five] = world.stage.gateways;
  await group(world, 'north', [declared, other, five]);
  const workshop = `${world.stage.folder}/banner`;
  await mkdir(workshop);
  await writeFile(
    `${workshop}/site.yml`,
    '- name: A banner\n  groups: [all]\n  tasks:\n    - !template\n      src: motd\n      dest: /etc/motd\n',
  );
  await mkdir(`${workshop}/templates`);
  await writeFile(`${workshop}/templates/motd`, 'welcome on board\n');
  // Also the gateway on KerOS 5 is declared: a link, other than a script, is for it too.
  await world.wish(`command-line magic-link create ${workshop} --gateway ${declared} --gateway ${five} --description banner`);

  const page = await world.loggedIn();
  await page.goto('/magic-links');
  const line = page.getByRole('row', { name: /^banner/ });
  const hash = (await line.locator('code').innerText()).trim();
  assert.match(hash, /^(sha256:)?[0-9a-f]{64}$/);
  await page.goto('/groups/north');
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: 'Software update' }).click();
  await page.getByRole('link', { name: 'Custom Magic Link' }).click();
  await page.getByLabel('Magic Link value').fill(hash);
  await page.getByRole('button', { name: 'LOOK UP' }).click();
  await page.getByText('2 of 3').waitFor();
  await page.getByText('not declared in the Magic Link').waitFor();
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  const popup = page.getByRole('dialog', { name: 'Send this update?' });
  await popup.getByText('Custom Magic Link').waitFor();
  await popup.getByText('“banner”').waitFor();
  await popup.getByText('2 of 3').waitFor();
  await popup.getByRole('button', { name: 'SEND TO 3 GATEWAYS' }).click();
  await page.waitForURL('**/updates/*');

  const row = (eui) => page.locator(`#line-${eui}`);
  await page.locator('[data-ended=yes]').waitFor();
  for (const eui of [declared, five]) await row(eui).getByText('Succeeded').waitFor();
  await row(other).getByText('Refused').waitFor();
  await row(other).getByText('not declared in the Magic Link').waitFor();
  await page.locator('#state', { hasText: 'Sent' }).waitFor();
  await page.getByRole('link', { name: /^Refused/ }).click();
  await row(other).waitFor();
  assert.equal(await row(declared).count(), 0);
  await world.check(page);

  // The page does not say it alone: the files are there, or not.
  const [update] = await world.rest('GET', '/updates');
  await ended(world, update);
  assert.deepEqual(update.outcomes, { refused: 1, succeeded: 2 });
  for (const [eui, there] of [[declared, true], [five, true], [other, false]]) {
    assert.equal(await world.hasFile(eui, 'etc/motd', 'welcome on board'), there, eui);
  }
}
