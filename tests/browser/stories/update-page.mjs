// The Software update page, in the words of the vendor's.

import assert from 'node:assert/strict';

import { putLink } from '../lib/links.mjs';
import { tabTo } from '../lib/look.mjs';

const KEROS_6 = '7076FF0056070123';
const KEROS_5 = '7076FF0056070124';
const SCRIPT = '- name: a play\n  groups: [all]\n  tasks:\n    - !echo\n      msg: hello\n';

/** A group of its own for each story, of gateways that are there. */
async function group(world, gateways, name = 'north') {
  const made = await world.rest('POST', '/groups', { name, gateways });
  return made.group_id;
}

/** A gateway that is declared and has never spoken. */
async function declared(world, eui, name) {
  await world.rest('POST', '/gateways', { eui, name });
  return eui;
}

async function updates(world) {
  return world.rest('GET', '/updates');
}

async function writeScript(page, text) {
  await page.getByRole('link', { name: 'Custom JetPorch script' }).click();
  await page.getByLabel('JetPorch YAML value').fill(text);
}

export async function the_page_offers_custom_magic_link_and_custom_jetporch_script(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast')]);
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}`);
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: 'Software update' }).click();
  const kinds = page.getByRole('navigation', { name: 'Kind of update' });
  assert.deepEqual(await kinds.getByRole('link').allInnerTexts(), ['Custom Magic Link', 'Custom JetPorch script']);
  await world.checkAllLooks(`/groups/${id}/software-update`, 'software-update-magic-link');
  await world.checkAllLooks(`/groups/${id}/software-update?kind=jetporch`, 'software-update-script');
}

export async function for_the_first_it_asks_for_the_magic_link_value_and_says_what_it_is(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast'), await declared(world, KEROS_5, 'quay')]);
  const digest = await putLink(world, { name: 'banner', description: 'a new banner', gateways: [KEROS_6] });
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}/software-update`);
  await page.getByLabel('Magic Link value').fill('ab'.repeat(32));
  await page.getByRole('button', { name: 'LOOK UP' }).click();
  await page.getByRole('alert').getByText('there is no Magic Link').waitFor();
  await world.check(page);
  await page.getByLabel('Magic Link value').fill(digest);
  await page.getByRole('button', { name: 'LOOK UP' }).click();
  await page.getByText('a new banner').waitFor();
  await page.getByText('not declared in the Magic Link').waitFor();
  await page.getByText('Which', { exact: true }).click();
  await page.getByRole('link', { name: 'quay' }).waitFor();
  await world.check(page, 'software-update-looked-up');
}

export async function for_the_second_it_asks_for_the_jetporch_yaml_value_with_the_warning_and_a_pointer_to_the_guide(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast')]);
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}/software-update?kind=jetporch`);
  await page.getByText('a script can change how a gateway connects and what it does').waitFor();
  await page.getByText('ask support when in doubt').waitFor();
  await page.getByLabel('JetPorch YAML value').waitFor();
  await page.getByRole('link', { name: 'How playbooks are written' }).click();
  await page.getByRole('heading', { name: 'How playbooks are written' }).waitFor();
  await world.check(page);
}

export async function the_editor_marks_errors_at_their_line_as_the_gateway_will(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast')]);
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}/software-update?kind=jetporch`);
  const editor = page.getByLabel('JetPorch YAML value');
  await editor.fill(SCRIPT.replace('!echo', '!ecco'));
  await page.getByText('No gateway would run it').waitFor();
  await page.getByText('did you mean `echo`').waitFor();
  await world.check(page, 'software-update-fault');
  await page.getByRole('button', { name: /^line 4/ }).click();
  const line = await editor.evaluate((area) => area.value.slice(0, area.selectionStart).split('\n').length);
  assert.equal(line, 4);
  // By keyboard alone: blanks by Tab, out of it by Escape and Tab.
  await page.keyboard.press('Tab');
  assert.equal(await editor.evaluate((area) => area === document.activeElement), true);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
  assert.equal(await editor.evaluate((area) => area === document.activeElement), false);
  await editor.fill(SCRIPT);
  await page.getByText('No faults found').waitFor();
}

export async function a_jetporch_script_is_only_for_gateways_on_keros_6_and_the_page_shows_who_is_not(world) {
  const id = await group(world, [KEROS_6, KEROS_5]);
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}/software-update`);
  await writeScript(page, SCRIPT);
  await page.getByRole('button', { name: 'SEND' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('1 of 2').waitFor();
  await dialog.getByText('not on KerOS 6').waitFor();
  await dialog.getByText('Which', { exact: true }).click();
  await dialog.getByRole('link', { name: KEROS_5 }).waitFor();
  await world.check(page, 'confirmation');
  await dialog.getByRole('button', { name: /^SEND TO 2/ }).click();
  await page.waitForURL('**/updates/*');
  await world.eventually('the one runs it and the other refuses', async () => {
    const [update] = await updates(world);
    assert.deepEqual(update.outcomes, { refused: 1, succeeded: 1 });
  });
}

export async function send_then_a_confirmation_popup_that_says_what_will_happen_to_how_many_gateways(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast'), await declared(world, KEROS_5, 'quay')]);
  const page = await world.loggedIn({ width: 390 });
  await page.goto(`/groups/${id}/software-update`);
  await writeScript(page, SCRIPT);
  await page.getByText('No faults found').waitFor();
  // By keyboard alone: Tab belongs to the editor until Escape was pressed.
  const send = page.getByRole('button', { name: 'SEND', exact: true });
  await page.keyboard.press('Escape');
  await tabTo(page, send);
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Send this update?' });
  await dialog.getByText('to the 2 gateways of group “north”').waitFor();
  await world.check(page, 'confirmation-390');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal((await updates(world)).length, 0);
  assert.equal(await send.evaluate((button) => button === document.activeElement), true, 'the focus is where it was');
  await page.keyboard.press('Enter');
  await tabTo(page, dialog.getByRole('button', { name: 'SEND TO 2 GATEWAYS' }));
  await page.keyboard.press('Enter');
  await page.waitForURL('**/updates/*');
  assert.equal((await updates(world)).length, 1);
}

export async function a_double_click_sends_one_update(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast')]);
  const page = await world.loggedIn();
  await page.goto(`/groups/${id}/software-update`);
  await writeScript(page, SCRIPT);
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^SEND TO/ }).dblclick({ noWaitAfter: true });
  await page.waitForURL('**/updates/*');
  assert.equal((await updates(world)).length, 1);
}

export async function the_way_of_an_update_works_without_scripts(world) {
  const id = await group(world, [await declared(world, KEROS_6, 'mast')]);
  const page = await world.loggedIn({ scripts: false });
  await page.goto(`/groups/${id}`);
  await page.locator('summary', { hasText: 'CONFIGURATION' }).click();
  await page.getByRole('link', { name: 'Software update' }).click();
  await writeScript(page, SCRIPT.replace('!echo', '!ecco'));
  await page.getByRole('button', { name: 'CHECK' }).click();
  await page.getByText('line 4, column 7').waitFor();
  await page.getByLabel('JetPorch YAML value').fill(SCRIPT);
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('heading', { name: 'Send this update?' }).waitFor();
  await page.getByRole('button', { name: 'BACK' }).click();
  assert.equal(await page.getByLabel('JetPorch YAML value').inputValue(), SCRIPT);
  await page.getByRole('button', { name: 'SEND', exact: true }).click();
  await page.getByRole('button', { name: 'SEND TO 1 GATEWAY' }).click();
  await page.waitForURL('**/updates/*');
  assert.equal((await updates(world)).length, 1);
}

export async function a_script_with_html_in_it_is_shown_as_text(world) {
  const hostile = `${SCRIPT}# </textarea><script>document.title = 'taken'</script><img src=x onerror="document.title='taken'">\n`;
  const name = '<img src=x onerror="document.title=1">';
  const id = await group(world, [await declared(world, KEROS_6, name)], name.replaceAll('/', ''));
  for (const scripts of [true, false]) {
    const page = await world.loggedIn({ scripts });
    await page.goto(`/groups/${id}/software-update`);
    await writeScript(page, hostile);
    await page.getByRole('button', { name: 'SEND', exact: true }).click();
    await page.getByRole('heading', { name: 'Send this update?' }).waitFor();
    assert.equal(await page.locator('img[src=x]').count(), 0);
    assert.match(await page.title(), /Software update|Send this update/);
  }
}
