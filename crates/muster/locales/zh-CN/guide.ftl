# 围绕客户、只能由人完成的步骤（`muster tenant guide`）。

guide-tenant = 租户
guide-state = 状态
guide-by = 执行者
guide-who-customer = 客户的管理员
guide-who-provider = 您
guide-who-both = 您和客户的管理员
guide-state-done = 已完成
guide-state-to-do = 待办
guide-state-not-seen = 无法从此处看到
guide-state-if-wanted = 按需

guide-consent = 客户的同意
guide-consent-link = 使用 `{ $command }` 生成链接并通过邮件发送；由全局管理员或特权角色管理员打开
guide-consent-permissions = 请求的权限：{ $permissions }
guide-consent-app = 客户租户中的应用程序
guide-not-checked = 尚未检查
guide-nobody-consented = 尚无人表示同意

guide-sources = 每个数据源均可读取
guide-source-good = `{ $source }` 可以读取（{ $at }）
guide-source-not-tried = `{ $source }` 尚未尝试

guide-connector = 在客户门户中授权 SIEM 连接器
guide-connector-read = { $account } 已登录，并且可以此人的名义读取每个数据源
guide-connector-signed-in = { $account } 已登录；尚未尝试门户是否允许该应用程序读取
guide-connector-failing = { $account } 已登录，但并非每个数据源都能以此人的名义读取
guide-connector-nobody = 尚无人登录
guide-connector-optional = 仅用于代表人员操作的应用程序以及旧的 SIEM 源
guide-connector-where = 在客户的 Defender 门户中：设置 > 终结点 > API > SIEM > MSSP 选项卡
guide-connector-enter = 输入应用程序 ID `{ $app }` 和租户 ID { $tenant }，然后选择“授权应用程序”
guide-connector-app-unknown = 应用程序的客户端 ID
guide-connector-tenant-unknown = 您自己的租户 ID（在应用程序的配置节中设置 `tenant` 后会显示在此处）
guide-connector-permission = 在那里需要“管理门户系统设置”权限
guide-connector-redirect = 应用注册需要重定向 URI `{ $uri }`
guide-connector-sign-in = 随后由拥有客户租户帐户的人员登录：`{ $command }`

guide-packages = 通过访问包为您的分析人员提供门户访问权限
guide-packages-unseen = Microsoft 不会向外部告知是否已设置
guide-packages-groups = 在您自己的租户中，一次性：Entra 组 `Tier 1 Analyst`、`Tier 2 Analyst` 和 `MSSP Analyst Approvers`
guide-packages-roles = 客户：为两个级别设置 Defender 角色（设置 > 终结点 > 权限 > 角色）；第 1 级不含实时响应和管理安全设置，第 2 级含实时响应
guide-packages-organization = 客户，Identity Governance：将贵组织添加为已连接的组织
guide-packages-catalog = 客户：创建目录 `MSSP Accesses`，并在其中为每个级别创建一个访问包：仅限已连接的组织请求、由您的审批者审批、每年评审、365 天后结束
guide-packages-link = 客户：将每个访问包的 My Access 链接发送给您；您在那里审批分析人员的请求
guide-packages-organizations-page = 已连接的组织，位于客户的租户中
guide-packages-catalogs-page = 目录和访问包，位于客户的租户中
guide-packages-access-page = My Access，您的分析人员在此请求

guide-gdap = 通过 GDAP 为您的分析人员提供门户访问权限，适用于 CSP 计划的合作伙伴
guide-gdap-create = 您：在合作伙伴中心与租户 `{ $tenant }` 创建精细委派管理员关系，使用足够的最低角色（安全读取者、安全操作员），并将其锁定以待批准
guide-gdap-approve = 客户：全局管理员通过下方链接（补上该关系的 ID）批准
guide-gdap-assign = 您：将您的安全组分配给该关系的角色
guide-gdap-no-consent = 这不能代替同意：未获得自身同意的应用程序会被拒绝（AADSTS90099）
guide-gdap-page = 批准，位于客户的租户中

guide-portal = 打开客户的门户
guide-portal-tid = 在门户的任意链接后添加 `tid={ $tenant }`，即可在此租户中打开；警报中的链接已包含它
guide-portal-page = 客户的 Defender 门户
guide-portal-many = 一次查看所有客户

guide-mail = 除 SIEM 之外，新警报时发送邮件
guide-mail-where = 在客户的 Defender 门户中：设置 > 终结点 > 电子邮件通知 > 添加通知规则
guide-mail-options = 启用“包含组织名称”和“包含特定于租户的门户链接”，以便区分多个客户的邮件
guide-mail-permission = 需要“管理安全设置”权限；收件人只会收到此后的警报
