// Names and outputs that would like to be scripts, and people who press at the same moment.

import assert from 'node:assert/strict';

import { declare, echo, ended, group, script, send } from '../lib/orders.mjs';
import { user } from '../lib/people.mjs';

const MARKS = '<img src=x onerror="window.taken=1"><script>window.taken=1<\\script>\'"&<b>';

export async function what_is_typed_or_printed_is_shown_as_text_on_every_page(world) {
  const [eui] = world.stage.gateways;
  await world.rest('PATCH', `/gateways/${eui}`, { name: MARKS.slice(0, 60), description: MARKS });
  const made = await world.rest('POST', '/groups', { name: MARKS.slice(0, 60), description: MARKS, gateways: [eui] });
  await world.rest('POST', '/customers', { name: MARKS.slice(0, 60), description: MARKS });
  const full = await world.rest('POST', '/users', { login: 'eve', full_name: MARKS.slice(0, 60), roles: [{ customer: '*', role: 'SERVICE_VIEWER' }] });
  const text = `# ${MARKS}\n${script(`!shell\n  cmd: |\n    cat <<'EOF'\n    ${MARKS}\n    EOF\n    exit 3`)}`;
  const update = await send(world, made.group_id, text);
  await ended(world, update);
  const dry = await send(world, made.group_id, script(`!template\n  content: ${JSON.stringify(`${MARKS}\n`)}\n  dest: /etc/motd`), { dry_run: true });
  await ended(world, dry);
  const page = await world.loggedIn();
  page.on('dialog', (dialog) => world.troubles.push(`a dialog: ${dialog.message()}`));
  const shows = async (place, ...at) => {
    await page.goto(place);
    for (const locator of at) await locator.first().waitFor();
    assert.equal(await page.evaluate(() => window.taken), undefined, place);
    for (const made of ['img[src=x]', 'main script', 'main b']) assert.equal(await page.locator(made).count(), 0, `${place} ${made}`);
    // What the browser kept from running is a trouble too: it was in the page.
    assert.deepEqual(world.troubles, [], place);
  };
  const mark = page.getByText('<img src=x onerror=');
  for (const place of ['/groups', `/groups/${made.group_id}`, `/groups/${made.group_id}/software-update?kind=jetporch`, '/gateways',
    `/gateways/${eui}`, `/gateways/${eui}/software-update`, '/updates', `/updates/${update.update_id}`,
    `/updates/${update.update_id}/cancel`, '/customers', '/users', `/users/${full.login}`, '/audit', '/account']) {
    await shows(place, ...(['/account', '/audit'].includes(place) ? [page.getByRole('heading', { level: 1 })] : [mark]));
  }
  await shows(`/updates/${update.update_id}/gateways/${eui}`, page.getByRole('region', { name: 'Output of the task' }).getByText('<script>window.taken=1'));
  await shows(`/updates/${dry.update_id}/gateways/${eui}`, page.getByRole('region', { name: 'What the dry run would change' }).getByText('<script>window.taken=1'));
  await shows(`/updates/${dry.update_id}/differences`, page.getByText('<script>window.taken=1'));
  // Said back in a refusal, and as a word in an address.
  await shows(`/gateways?search=${encodeURIComponent(MARKS)}&keros=${encodeURIComponent(MARKS)}`, page.getByText('Not understood'));
  await shows(`/gateways?search=${encodeURIComponent(MARKS)}`, page.getByRole('search', { name: 'Gateways' }));
}

export async function two_operators_at_once_send_one_update_and_the_other_is_told_which(world) {
  await declare(world, ['7076FF005600000A', '7076FF005600000B']);
  await group(world, 'north', ['7076FF005600000A', '7076FF005600000B']);
  await group(world, 'south', ['7076FF005600000B']);
  const [one, other] = await Promise.all(['ann', 'ben'].map(async (login) =>
    world.loggedIn(await user(world, login, ['main', 'SERVICE_ADMINISTRATOR']))));
  // Both have the confirmation before them, of groups that share a gateway.
  const buttons = [];
  for (const [page, name] of [[one, 'north'], [other, 'south']]) {
    await page.goto(`/groups/${name}/software-update?kind=jetporch`);
    await page.getByLabel('JetPorch YAML value').fill(echo);
    await page.getByRole('button', { name: 'SEND', exact: true }).click();
    const button = page.getByRole('dialog').getByRole('button', { name: /^SEND TO/ });
    await button.waitFor();
    buttons.push(button);
  }
  const answers = await Promise.all(buttons.map(async (button) => {
    const page = button.page();
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'POST' && response.url().endsWith('/send')),
      button.click(),
    ]);
    return answer.status();
  }));
  assert.deepEqual(answers.toSorted(), [303, 409]);
  const updates = await world.rest('GET', '/updates');
  assert.equal(updates.length, 1);
  const winner = answers[0] === 303 ? one : other;
  const loser = winner === one ? other : one;
  await winner.waitForURL('**/updates/*');
  // Who came second is told who was first, and for which gateway it waits; and what he wrote is still there.
  await loser.getByRole('alert').getByText(updates[0].created_by).waitFor();
  await loser.getByRole('alert').getByText('7076FF005600000B').waitFor();
  assert.equal(await loser.getByLabel('JetPorch YAML value').inputValue(), echo);
  assert.ok(await loser.getByRole('button', { name: 'SEND', exact: true }).isDisabled());
  world.refused(409);
}
