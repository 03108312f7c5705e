# 供客户管理员查看的页面。使用敬语；术语与微软简体中文门户一致。

date-time = { $year } 年 { $month } 月 { $day } 日 { $time }（UTC）
languages = 语言
skip-to-content = 跳到正文

## 同意之前

landing-title = { $provider } 请求读取 { $customer } 的安全警报
landing-lead = { $provider } 负责监控贵组织的安全。为此，其监控系统需要读取贵组织的 Microsoft Defender 警报。只有在贵组织的管理员表示同意之后，Microsoft 才会允许读取。

who-heading = 谁提出请求
who-provider = 服务提供商
who-contact = 联系方式
who-app-id = 应用程序 ID
who-app-id-hint = Microsoft 会为该应用程序显示相同的 ID，您可以据此核对。

for-heading = 针对哪个组织
for-organization = 组织
for-domain = 域
for-tenant-id = 租户 ID

permissions-heading = 请您授予的权限
permissions-lead = 共 { $count } 项权限，均为只读：
permissions-lead-acting = 共 { $count } 项权限，其中至少一项不只是读取：
permission-of = { $api } 的应用程序权限
permission-of-person = { $api } 的委托的权限
permission-allows = 允许的操作
permission-why = 为何需要
permission-security-alert = 读取所有安全警报
    .allows = 读取您的租户中 { $source ->
        [graph_alerts] Microsoft Defender、Microsoft Sentinel 和 Microsoft Entra ID 保护的警报
       *[other] { $product } 的警报
    }：检测到了什么、发生时间、严重程度，以及涉及哪些设备、帐户、文件和地址。
    .why = { $provider } 的分析人员根据这些警报作出响应。系统大约每分钟获取一次警报，以便尽早发现攻击。
permission-security-incident = 读取所有安全事件
    .allows = 读取安全事件，即属于同一次攻击的一组警报，包括其状态、分类和注释。
    .why = 安全事件显示各个警报之间的关联，使 { $provider } 看到攻击的全貌，而不只是其中的片段。
permission-threat-hunting = 运行搜寻查询
    .allows = 搜索 Microsoft Defender 记录的安全数据（高级搜寻）：设备上的事件、登录记录，以及谁向谁发送了电子邮件。其中不包括电子邮件正文。
    .why = 借此可以发现尚未产生警报的攻击痕迹，并了解警报发生之前的情况。
permission-reading = 读取 { $api } 的其他数据
    .allows = 读取 Microsoft 在其自己的页面上针对此名称所说明的内容，无法借此更改任何内容。
    .why = { $provider } 因双方约定的服务而请求此权限。如果您不了解相关约定，请先询问。
permission-acting = 在 { $api } 中执行操作
    .allows = 更改内容或执行操作，具体见 Microsoft 在其自己的页面上针对此名称的说明。这不只是读取。
    .why = { $provider } 因双方约定的服务而请求此权限，例如隔离遭受攻击的设备。如果您不了解相关约定，请先询问。

limits-heading = 不允许的操作
limits-change = 无法更改或删除任何内容，无论是在 Microsoft Defender、Microsoft Entra 中，还是在您的设备上。
limits-content = 任何人都无法借此读取您的电子邮件、聊天记录或文件。
limits-accounts = 任何人都无法使用您的帐户登录，也无法查看或重置密码。
limits-people = 任何人员都不会因此获得对您的门户的访问权限。如果双方约定了此类访问，那将是一个单独的步骤，由您另行批准。

steps-heading = 接下来的步骤
steps-sign-in = 您将转到 Microsoft 自己的页面 { $host }，并使用 { $customer } 的管理员帐户登录。请在输入密码之前核对浏览器中的地址。
steps-compare = Microsoft 会显示请求者及其请求的权限。请与本页内容核对，然后选择“接受”。
steps-return = Microsoft 会将您带回本页，届时您可以看到一切是否正常。
steps-person = 随后由 { $customer } 的一名人员登录一次，此后 { $provider } 将以该人员的名义读取数据。此人可以是您本人。

roles-heading = 谁可以表示同意
roles-text = 具有“全局管理员”或“特权角色管理员”角色的帐户。如果您的帐户没有这些角色，请将链接转发给具有相应角色的同事。

continue-button = 前往 Microsoft
continue-hint = 您只需在 Microsoft 的页面上输入密码，{ $provider } 绝不会看到您的密码。
valid-until = 此链接仅供 { $customer } 使用，有效期至 { $date }。

revoke-heading = 如果您以后改变主意
revoke-text = 您可以随时撤销同意，无需征得 { $provider } 的许可：在 Microsoft Entra 管理中心的“企业应用程序”下找到应用程序 ID { $app_id }，然后依次选择“属性”和“删除”。从那一刻起不会再授予新的访问权限；此前授予的访问权限会自行失效，通常在大约一小时之内。
revoke-link = 在 Microsoft Entra 管理中心打开该应用程序

unexpected-heading = 您没有预料到此请求？
unexpected-text = 那么请不要继续。请先向 { $provider } 核实，并使用您已知的电话号码或地址，而不要使用本页或将您引导至此的邮件中的联系方式。

notice-declined = 您没有表示同意，未作任何更改。您可以随时重新开始，如有疑问请咨询 { $provider }。
notice-not-administrator = Microsoft 表示此帐户无权代表整个组织表示同意。请使用具有下列角色之一的帐户登录，或将链接转发给同事。
notice-wrong-account = 您登录的帐户不属于 { $customer }。请使用 { $customer } 的管理员帐户登录；如果您已在别处登录，可以使用浏览器的隐私窗口。
notice-blocked = 贵组织的条件访问策略阻止了此次登录。请使用受管理的设备或从公司网络重试。
notice-failed = Microsoft 报告了问题（{ $code }），未作任何更改。请重试。如果问题再次出现，请将此代码告知 { $provider }。
notice-licence = Microsoft 表示，贵组织没有此次访问所涉及的某个产品的有效订阅（{ $code }），未作任何更改。{ $provider } 将协助您查明是哪个产品。
notice-second-factor = Microsoft 要求您再次证明您的身份（{ $code }）。请重新开始，并完成 Microsoft 显示的每个步骤，例如在手机上确认。
notice-setting-up = Microsoft 正在您的租户中设置此应用程序（{ $code }）。请等待几分钟后重新开始。如果问题再次出现，请先在“企业应用程序”下删除该应用程序。
notice-other-cloud = { $customer } 属于 Microsoft 的另一个国家云（{ $code }），此链接无法通往该云，未作任何更改。请告知 { $provider }。
notice-provider = Microsoft 报告了问题（{ $code }），问题出在 { $provider } 一方，与您无关，未作任何更改。请将此代码告知 { $provider }。

## 同意之后

status-checking-title = 谢谢，正在检查连接
status-checking-lead = 同意在 Microsoft 各处生效可能需要几分钟。您无需等待：即使关闭本页，检查也会继续进行。
status-good-title = 一切正常
status-good-lead = { $provider } 现在可以读取 { $customer } 的安全警报。您无需再进行任何操作，可以关闭本页。
status-sign-in-title = 还有一步：登录
status-sign-in-lead = 感谢您的同意。{ $provider } 以 { $customer } 的一名人员的名义读取数据。请现在使用为此准备的帐户登录，或由该人员打开本页登录。
status-attention-title = 仍有问题需要处理
status-attention-lead = 您的同意已收到，但尚未完全正常。下面说明了缺少什么。问题解决后，检查结果会自动变为绿色。
status-attention-consent-lead = Microsoft 尚未确认同意。下面说明了您可以如何处理。
steps-checked-heading = 检查项目
step-consent = Microsoft 确认您的同意
step-sign-in = 贵组织的一名人员已登录
step-alerts = { $source ->
    [graph_alerts] 可以读取安全警报
   *[other] 可以读取 { $product } 的安全警报
}
step-incidents = { $source ->
    [graph_incidents] 可以读取安全事件
   *[other] 可以读取 { $product } 的安全事件
}
step-hunting = 可以运行搜寻查询
state-good = 正常
state-waiting = 等待中
state-checking = 正在检查
state-attention = 需要处理
state-your-turn = 请您操作
state-consent-lost = 同意已失效
state-no-licence = 无许可证
state-no-token = 无法获取令牌
state-throttled = 已限流
state-api-down = API 故障
checked-at = 上次检查时间：{ $date }
refresh-note = 本页会自动刷新。
refresh-link = 立即刷新
retry-button = 重新表示同意

fix-consent = Microsoft 没有 { $customer } 对此应用程序的同意记录。请使用 { $customer } 的管理员帐户重新授予管理员同意。
fix-permission = 同意中缺少权限 { $permission }。请重新表示同意，并接受所有权限。
fix-app-disabled = 此应用程序在您的租户中已被禁用。请在 Microsoft Entra 管理中心的“企业应用程序”下打开该应用程序，并在“属性”中将“启用以供用户登录?”设为“是”。
fix-conditional-access = 条件访问策略阻止了此应用程序。请将该应用程序从针对工作负载标识的策略中排除，或将 { $provider } 的地址添加到允许的位置。
fix-licence = Microsoft 表示贵组织没有读取这些数据所需的许可证或有效订阅。需要包含 Microsoft Defender 的许可证；{ $provider } 很乐意协助您选择合适的许可证。
fix-person = { $provider } 登录时使用的帐户在贵方租户中没有可查看这些数据的角色。请为该帐户分配“安全信息读取者”之类的角色，并授予对所有设备组的访问权限。
fix-provider = 问题出在 { $provider } 一方，与您无关。{ $provider } 已收到通知。您无需进行任何操作。
fix-microsoft = Microsoft 的服务目前没有响应。系统会自动重新检查。您无需进行任何操作。
fix-other = Microsoft 尚不允许此操作，其给出的原因需要由 { $provider } 查看。{ $provider } 已收到通知。
fix-sign-in = 请使用 { $customer } 中有权在 Microsoft Defender 中查看警报的帐户登录，例如具有“安全读取者”角色的帐户。
sign-in-button = 在 Microsoft 登录

## 无法继续的链接

expired-title = 此链接已过期
expired-text = 为了您的安全，此类链接仅在有限时间内有效。请向 { $provider } 索取新链接。
revoked-title = 此链接已失效
revoked-text = 它已被较新的链接取代或已撤回。请使用 { $provider } 最近发送的邮件，或索取新链接。
unknown-title = 此链接无效
unknown-text = 链接可能没有完整复制。请从原始邮件中重新打开，或向 { $provider } 索取新链接。
late-title = 请重新打开您的链接
late-text = Microsoft 的此响应来得太晚、已被使用过，或无法识别。未作任何更改。请重新打开邮件中的链接，即可查看当前状态。
busy-title = 请稍候
busy-text = 目前请求过多。请在一分钟后重试。
many-title = 尝试次数过多
many-text = 在短时间内，此链接被多次用于转到 Microsoft。请等待一小时，或向 { $provider } 寻求帮助。
trouble-title = 我们这边出现了问题
trouble-text = 未作任何更改。请在几分钟后重试。如果问题再次出现，请将发生的时间告知 { $provider }。

wrong-tenant-title = 同意来自其他组织
wrong-tenant-text = 此邀请针对 { $customer }，但您登录了另一个组织并在那里表示了同意。{ $provider } 不会使用该同意。
wrong-tenant-invited = 受邀组织
wrong-tenant-answered = 实际响应的组织
wrong-tenant-again = 请重新开始，并使用 { $customer } 的管理员帐户登录。如果您已在别处登录，可以使用浏览器的隐私窗口。
wrong-tenant-remove = 若要撤销在另一组织中的同意，请在该组织的“企业应用程序”下删除此应用程序。
start-again = 重新开始

## 人员为连接器登录

connector-good-title = 登录成功
connector-good-text = { $account } 现已为 { $customer } 登录。您可以关闭此窗口。
connector-failed-title = 登录失败
connector-failed-text = 未保存任何内容。请从最初开始的地方重新登录。原因记录在 { $provider } 的日志中。
connector-failed-code = Microsoft 代码：{ $code }
