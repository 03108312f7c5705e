# 请求客户管理员表示同意的邮件（`muster invite`）。

mail-invite-subject = { $provider } 请求读取 { $customer } 的安全警报
mail-remind-subject = 提醒：{ $provider } 正在等待 { $customer } 的同意
mail-greeting = 您好：
mail-invite-lead = { $provider } 负责监控 { $customer } 的安全。为此，其监控系统需要读取贵组织的 Microsoft Defender 警报。只有在贵组织的管理员表示同意之后，Microsoft 才会允许读取。
mail-remind-lead = 我们曾于 { $invited } 请求同意读取 { $customer } 的 Microsoft Defender 警报。由于尚未获得同意，{ $provider } 目前无法看到这些警报。
mail-who = 请贵组织的全局管理员或特权角色管理员打开以下页面。页面会说明请求的内容及原因；在您于 Microsoft 自己的页面上表示同意之前，不会发生任何更改：
mail-button = 打开页面
mail-until = 此链接在 { $until } 之前有效，仅供贵组织使用；请只转发给将要表示同意的管理员。
mail-tenant = 贵组织在 Microsoft 的租户 ID：{ $tenant }
mail-doubt = 如果您怀疑此邮件的真实性，请在打开链接之前通过您已知的方式与我们核实。我们的联系方式：{ $contact }
