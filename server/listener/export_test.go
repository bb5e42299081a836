package listener

var ReadProxyHeader = readProxyHeader
