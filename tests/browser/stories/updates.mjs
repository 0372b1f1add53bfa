// Last updates, the dashboard, cancelling, what gateways say.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';

import { tabTo } from '../lib/look.mjs';
import { declare, echo, ended, group, script, send } from '../lib/orders.mjs';

/** Two gateways that nobody has heard of yet. */
const SILENT = ['7076FF005600000A', '7076FF005600000B'];

const row = (page, eui) => page.locator(`#line-${eui}`);

export async function delivery_is_to_each_gateway_when_its_next_telemetry_message_arrives(world) {
  const eui = '7076FF0056000005';
  await declare(world, [eui]);
  await group(world, 'north', [eui]);
  const update = await send(world, 'north', echo);
  const page = await world.loggedIn();
  await page.goto(`/updates/${update.update_id}`);
  await row(page, eui).getByText('Waiting').waitFor();
  await page.locator('#state', { hasText: 'In progress' }).waitFor();
  await world.wish(`start ${eui} 6.3.1`);
  await row(page, eui).getByText('Received').waitFor();
  await row(page, eui).getByText('Succeeded').waitFor();
}

export async function last_updates_has_the_history_with_cancel_update_and_an_eye_link_to_a_dashboard_with_a_progress_bar(world) {
  await declare(world, SILENT);
  await group(world, 'north', SILENT);
  const update = await send(world, 'north', echo);
  const page = await world.loggedIn();
  for (const place of ['/groups/north', '/updates']) {
    await page.goto(place);
    const line = page.locator(`#update-${update.update_id}`);
    for (const text of ['Custom JetPorch script', 'In progress', '0 of 2 ended', 'CANCEL UPDATE', 'api-token']) {
      await line.getByText(text).first().waitFor();
    }
    await world.check(page);
    await line.getByRole('link', { name: /^Dashboard/ }).click();
    await page.waitForURL(`**/updates/${update.update_id}`);
    await page.getByRole('group', { name: 'Delivery' }).waitFor();
  }
}

export async function a_click_on_a_status_lists_only_the_gateways_in_it(world) {
  const gateways = world.stage.gateways;
  await declare(world, SILENT);
  await group(world, 'north', [...gateways, ...SILENT]);
  const update = await send(world, 'north', echo);
  const [six, , five] = gateways;
  // With scripts and without: the parts are links.
  for (const scripts of [true, false]) {
    const page = await world.loggedIn({ scripts });
    await world.eventually('all that are connected have ended', async () => {
      const view = await world.rest('GET', `/updates/${update.update_id}`);
      assert.deepEqual(view.outcomes, { none: 2, refused: 1, succeeded: 2 });
    });
    for (const [link, shown, hidden] of [
      [/^Waiting/, SILENT, gateways],
      [/^Refused/, [five], [six, ...SILENT]],
      [/^Succeeded/, [six], [five, ...SILENT]],
    ]) {
      await page.goto(`/updates/${update.update_id}`);
      for (const eui of [...gateways, ...SILENT]) await row(page, eui).waitFor();
      await page.getByRole('link', { name: link }).click();
      for (const eui of shown) await row(page, eui).waitFor();
      for (const eui of hidden) assert.equal(await row(page, eui).count(), 0, eui);
      // axe-core waits for timers, which a page without scripts does not have.
      if (scripts) await world.check(page);
    }
    // The bar itself, by the mouse.
    await page.goto(`/updates/${update.update_id}`);
    await page.locator('#outcome-bar svg.bar a', { hasText: 'Refused' }).locator('rect').first().click({ force: true });
    await row(page, five).waitFor();
    assert.equal(await row(page, six).count(), 0);
    await row(page, five).getByText('not_keros_6').waitFor();
  }
}

export async function an_update_is_cancelled_for_one_gateway_at_the_end_of_its_line_and_for_all(world) {
  await declare(world, SILENT);
  await group(world, 'north', SILENT);
  const update = await send(world, 'north', echo);
  const page = await world.loggedIn();
  const [one, other] = SILENT;
  await page.goto(`/updates/${update.update_id}`);
  await row(page, one).getByRole('link', { name: /^CANCEL/ }).click();
  // Nothing happens before it is confirmed.
  await page.getByText('never will be').waitFor();
  await world.check(page);
  assert.equal((await world.rest('GET', `/updates/${update.update_id}`)).deliveries.waiting, 2);
  await page.getByRole('button', { name: 'CANCEL UPDATE' }).click();
  await page.getByText('1 will never be sent').waitFor();
  await row(page, one).getByText('Cancelled').first().waitFor();
  await row(page, other).getByText('Waiting').waitFor();
  assert.equal(await row(page, one).getByRole('link', { name: /^CANCEL/ }).count(), 0);
  await page.getByRole('link', { name: 'CANCEL UPDATE', exact: true }).click();
  await page.getByRole('button', { name: 'CANCEL UPDATE' }).click();
  await page.locator('#state', { hasText: 'Cancelled' }).waitFor();
  assert.deepEqual((await world.rest('GET', `/updates/${update.update_id}`)).deliveries, { cancelled: 2 });
}

export async function the_dashboard_refreshes_itself_until_the_update_is_sent_partially_sent_or_cancelled(world) {
  await declare(world, SILENT);
  for (const [name, cancelled, state] of [['all', SILENT, 'Cancelled'], ['some', [SILENT[0]], 'Partially sent']]) {
    const members = name === 'all' ? SILENT : [SILENT[0], world.stage.gateways[0]];
    await group(world, name, members);
    const update = await send(world, name, echo);
    const page = await world.loggedIn();
    await page.goto(`/updates/${update.update_id}`);
    await page.locator('#state', { hasText: 'In progress' }).waitFor();
    const shown = await page.evaluate(() => (window.same = Math.random()));
    for (const eui of cancelled) await world.rest('POST', `/updates/${update.update_id}/gateways/${eui}/cancel`, {});
    await page.locator('#state').filter({ hasText: state }).waitFor();
    // By itself means that nobody has loaded it again.
    assert.equal(await page.evaluate(() => window.same), shown);
    await page.locator('[data-ended=yes]').waitFor();
    await page.context().close();
  }
}

export async function without_scripts_the_dashboard_refreshes_itself_and_cancels_too(world) {
  const eui = '7076FF0056000005';
  await declare(world, [eui, SILENT[0]]);
  await group(world, 'north', [eui, SILENT[0]]);
  const update = await send(world, 'north', echo);
  const page = await world.loggedIn({ scripts: false });
  await page.goto(`/updates/${update.update_id}`);
  await row(page, eui).getByText('Waiting').waitFor();
  await world.wish(`start ${eui} 6.3.1`);
  await row(page, eui).getByText('Succeeded').waitFor();
  await row(page, SILENT[0]).getByRole('link', { name: /^CANCEL/ }).click();
  await page.getByRole('button', { name: 'CANCEL UPDATE' }).click();
  await page.locator('#state', { hasText: 'Partially sent' }).waitFor();
}

export async function for_outcomes_beyond_sent_the_dashboard_goes_on_until_all_have_ended(world) {
  const [eui] = world.stage.gateways;
  await group(world, 'north', [eui]);
  // The first task waits for this file, so that it runs as long as somebody looks.
  const seen = `${world.stage.folder}/seen`;
  const update = await send(world, 'north', script(`!shell\n  cmd: until test -e ${seen}; do sleep 0.1; done`, '!echo\n  msg: done'));
  const page = await world.loggedIn();
  await page.goto(`/updates/${update.update_id}`);
  await row(page, eui).getByText('Running').waitFor();
  await row(page, eui).getByText(/task 1 of 2/).waitFor();
  await page.locator('#state', { hasText: 'Sent' }).waitFor();
  assert.equal(await page.locator('[data-ended=yes]').count(), 0, 'it is sent and has not ended');
  await writeFile(seen, '');
  await row(page, eui).getByText('Succeeded').waitFor();
  await page.locator('[data-ended=yes]').waitFor();
}

export async function the_three_words_are_about_delivery_and_beside_them_each_gateway_has_its_outcome(world) {
  const gateways = world.stage.gateways;
  await group(world, 'north', gateways);
  const update = await send(world, 'north', script('!shell\n  cmd: exit 3'));
  await ended(world, update);
  const page = await world.loggedIn();
  // All have got it, which is what Sent says; that it succeeded nowhere is said beside it.
  for (const place of ['/groups/north', '/updates']) {
    await page.goto(place);
    await page.locator(`#update-${update.update_id}`).getByText('Sent', { exact: true }).waitFor();
  }
  await page.goto(`/updates/${update.update_id}`);
  await page.locator('#state', { hasText: /^Sent$/ }).waitFor();
  assert.deepEqual((await page.getByRole('columnheader').allInnerTexts()).slice(1, 3), ['Delivery', 'Outcome']);
  for (const [eui, outcome] of [[gateways[0], 'Failed'], [gateways[1], 'Failed'], [gateways[2], 'Refused']]) {
    const cells = await row(page, eui).getByRole('cell').allInnerTexts();
    assert.match(cells[0], /Received$/, eui);
    assert.match(cells[1], new RegExp(`${outcome}$`), eui);
  }
  for (const [axis, word, count] of [['delivery', 'Received', 3], ['outcome', 'Failed', 2], ['outcome', 'Refused', 1]]) {
    await page.locator(`#${axis}-bar`).getByRole('link', { name: `${word} ${count}` }).waitFor();
  }
}

export async function a_failed_gateway_shows_its_task_reason_and_output_and_its_log(world) {
  const [eui] = world.stage.gateways;
  await group(world, 'north', [eui]);
  const task = '!shell\n  cmd: echo "<script>document.title=1</script>"; exit 3';
  const update = await send(world, 'north', script(task));
  await ended(world, update);
  const page = await world.loggedIn();
  await page.goto(`/updates/${update.update_id}`);
  await row(page, eui).getByText(/task 1 of 1.*exit code 3/).waitFor();
  await row(page, eui).getByRole('link').first().click();
  // What a gateway prints is text, whatever it looks like.
  await page.getByRole('region', { name: 'Output of the task' }).getByText('<script>document.title=1</script>').waitFor();
  assert.notEqual(await page.title(), '1');
  const log = page.getByRole('table');
  for (const word of ['Received', 'Accepted', 'Running', 'Failed']) await log.getByText(word).first().waitFor();
  await world.check(page);
}

export async function a_dry_run_of_a_group_shows_the_same_differences_once(world) {
  const [one, two] = world.stage.gateways;
  await group(world, 'north', world.stage.gateways);
  const update = await send(world, 'north', script('!template\n  content: "hello\\n"\n  dest: /etc/motd'), { dry_run: true });
  await ended(world, update);
  const page = await world.loggedIn();
  await page.goto(`/updates/${update.update_id}`);
  await page.getByRole('link', { name: 'Differences' }).click();
  await page.getByRole('heading', { name: 'The same on 2 gateways' }).waitFor();
  await page.getByText('+hello').waitFor();
  assert.equal(await page.locator('pre.diff').count(), 1, 'one text for both');
  await page.getByText('1 has not said').waitFor();
  await page.getByText('Its gateways').click();
  for (const eui of [one, two]) assert.equal(await page.locator(`a[href$="/gateways/${eui}"]`).count(), 1);
  await world.check(page, 'differences');
  await page.locator(`a[href$="/gateways/${one}"]`).click();
  await page.getByRole('region', { name: 'What the dry run would change' }).getByText('+hello').waitFor();
  await world.check(page);
}

export async function an_update_is_cancelled_by_the_keyboard_alone(world) {
  await declare(world, SILENT);
  await group(world, 'north', SILENT);
  const update = await send(world, 'north', echo);
  const page = await world.loggedIn();
  await page.goto('/updates');
  await tabTo(page, page.getByRole('link', { name: /^Dashboard/ }));
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/updates/${update.update_id}`);
  await tabTo(page, page.getByRole('link', { name: 'CANCEL UPDATE', exact: true }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/cancel');
  await tabTo(page, page.getByRole('button', { name: 'CANCEL UPDATE' }));
  await page.keyboard.press('Enter');
  await page.locator('#state', { hasText: 'Cancelled' }).waitFor();
}

export async function the_pages_of_updates_are_accessible_narrow_and_wide_light_and_dark(world) {
  await declare(world, SILENT);
  await group(world, 'north', [...world.stage.gateways, ...SILENT]);
  const dry = await send(world, 'north', script('!shell\n  cmd: exit 3'), { confirm_window_s: 0 });
  await world.eventually('the gateways have ended', async () => {
    const { outcomes } = await world.rest('GET', `/updates/${dry.update_id}`);
    assert.deepEqual(outcomes, { failed: 2, none: 2, refused: 1 });
  });
  const id = dry.update_id;
  await world.checkAllLooks('/updates', 'last-updates');
  await world.checkAllLooks(`/updates/${id}`, 'dashboard');
  await world.checkAllLooks(`/updates/${id}/gateways/${world.stage.gateways[0]}`, 'gateway-of-an-update');
  await world.checkAllLooks(`/updates/${id}/differences`);
  await world.checkAllLooks(`/updates/${id}/cancel`, 'cancel');
  await world.checkAllLooks('/groups/north', 'group');
}
